// What a model's files say before anything is loaded: configuration, tokenizer and a directory of tensors that point
// into mapped files. Reads GGUF (one file or split), Hugging Face folders (config.json, safetensors, sharded or not)
// and what Landfall has packed from either (model/packed.h). Every extent, count and product is checked against the
// bytes that are there. Immutable after open().
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"
#include "model/tokenizer/tokenizer_spec.h"
#include "tensor/format.h"

namespace landfall {

struct FileTensor {
  std::string name;
  std::string type_name;            // as the file calls it
  const Format* format = nullptr;   // null: a type that Landfall does not read
  std::vector<int64_t> shape;       // slowest first
  std::span<const std::byte> data;  // empty in a packed file
  // F8_E4M3 only: [ceil(rows / 128), ceil(columns / 128)] scales, in F32 or as exponents alone (ue8m0: 2^(byte - 127)).
  std::span<const std::byte> scales;
  bool exponent_scales = false;

  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const;  // product of all other axes
  std::string shape_text() const;
  // Bytes that read_row needs for its result: the row in `format`'s blocks.
  int64_t row_bytes() const;
  // Row `row` in the file format's blocks: a pointer into the file, or into `scratch` where it has to be put together.
  // An F8 row with a NaN as code or scale is an error.
  Result<const std::byte*> read_row(int64_t row, std::vector<std::byte>& scratch) const;
};

class ModelSource {
 public:
  enum class Kind : uint8_t { gguf, hugging_face };

  // `path`: a .gguf file (any part of a split one), a .safetensors file, or a folder with either.
  static Result<ModelSource> open(Env& env, const std::string& path);
  // A model that is in no file yet: config.json or GGUF metadata, and tensors by name and shape.
  static Result<ModelSource> described(Kind kind, Json config, std::vector<FileTensor> tensors);

  Kind kind = Kind::gguf;
  std::string path;                // of the first file or the folder
  std::vector<std::string> files;  // all that belong to the model
  uint64_t file_bytes = 0;
  // config.json, or the scalar and number-array metadata of a GGUF file by its full key.
  Json config;
  // Of a GGUF file (of several the first): each key with its value as the file has them, in its order.
  struct RawValue {
    std::string key;
    std::span<const std::byte> bytes;
  };
  std::vector<RawValue> raw_metadata;
  std::string architecture;  // "llama", "deepseek_v3" ...: general.architecture or model_type
  std::optional<TokenizerSpec> tokenizer;
  std::string tokenizer_problem;  // why there is no tokenizer, when there is none
  std::vector<std::string> notes;

  // A packed file's weights as kernels want them; tensors have no data then.
  std::span<const std::byte> packed;

  const FileTensor* find(const std::string& name) const;
  const std::vector<FileTensor>& tensors() const { return tensors_; }

  // What keeps the mapped files in memory, for those who go on using them.
  const std::vector<std::shared_ptr<MappedFile>>& mappings() const { return mappings_; }

  // Lets the system drop the pages of this tensor's data from our memory; they are read again if needed.
  void release(const FileTensor& tensor) const;

 private:
  friend Status read_gguf(Env& env, const std::string& path, ModelSource& out);
  friend Status read_hugging_face(Env& env, const std::string& path, ModelSource& out);
  friend Status read_packed(Env& env, const std::string& path, ModelSource& out);
  Status set_packed(std::shared_ptr<MappedFile> file, std::span<const std::byte> weights,
                    std::vector<FileTensor> tensors);
  Status add(FileTensor tensor);

  std::vector<std::shared_ptr<MappedFile>> mappings_;
  std::vector<FileTensor> tensors_;
  std::unordered_map<std::string, size_t> index_;
};

// The two file formats.
Status read_gguf(Env& env, const std::string& path, ModelSource& out);
Status read_hugging_face(Env& env, const std::string& path, ModelSource& out);
// The tensor directory of one safetensors file; the tensors point into `bytes`. `file` is named in errors.
Status read_safetensors(const std::string& file, std::span<const std::byte> bytes, std::vector<FileTensor>& out);

}  // namespace landfall
