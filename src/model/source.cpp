#include "model/source.h"

#include "model/packed.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace landfall {

int64_t FileTensor::rows() const {
  int64_t n = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
  return n;
}

std::string FileTensor::shape_text() const {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

int64_t FileTensor::row_bytes() const { return (columns() + format->block - 1) / format->block * format->block_bytes; }

Result<const std::byte*> FileTensor::read_row(int64_t row, std::vector<std::byte>& scratch) const {
  if (data.empty()) return Status(Code::failed_precondition, "a packed file keeps no rows of tensor '" + name + "'");
  if (scales.empty()) return data.data() + row * row_bytes();
  // One float scale and 128 codes per block; the last block is filled up with zeros.
  const int64_t in = columns(), blocks = (in + 127) / 128;
  scratch.assign(static_cast<size_t>(blocks * 132), std::byte{0});
  const std::byte* codes = data.data() + row * in;
  for (int64_t b = 0; b < blocks; ++b) {
    std::byte* to = scratch.data() + b * 132;
    const int64_t block = (row / 128) * blocks + b;
    float scale;
    if (exponent_scales) {
      const int exponent = std::to_integer<int>(scales[static_cast<size_t>(block)]);
      scale = exponent == 255 ? NAN : std::ldexp(1.0f, exponent - 127);
    } else {
      std::memcpy(&scale, scales.data() + block * 4, 4);
    }
    if (std::isnan(scale)) {
      return Status(Code::data_loss, "tensor '" + name + "' has a scale that is not a number at row " +
                                         std::to_string(row) + ", column " + std::to_string(b * 128) +
                                         "; fetch the file again");
    }
    std::memcpy(to, &scale, 4);
    std::memcpy(to + 4, codes + b * 128, static_cast<size_t>(std::min<int64_t>(128, in - b * 128)));
  }
  for (int64_t i = 0; i < in; ++i) {
    if ((codes[i] & std::byte{0x7f}) == std::byte{0x7f}) {
      return Status(Code::data_loss, "tensor '" + name + "' holds a not-a-number code at row " + std::to_string(row) +
                                         ", column " + std::to_string(i) + "; fetch the file again");
    }
  }
  return static_cast<const std::byte*>(scratch.data());
}

const FileTensor* ModelSource::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

void ModelSource::release(const FileTensor& tensor) const {
  constexpr uintptr_t kPage = 4096;
  const auto begin = (reinterpret_cast<uintptr_t>(tensor.data.data()) + kPage - 1) / kPage * kPage;
  const auto end = (reinterpret_cast<uintptr_t>(tensor.data.data()) + tensor.data.size()) / kPage * kPage;
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

Status ModelSource::add(FileTensor tensor) {
  if (!index_.emplace(tensor.name, tensors_.size()).second) {
    return Status(Code::data_loss, "tensor '" + tensor.name + "' stands twice in the model's files");
  }
  tensors_.push_back(std::move(tensor));
  return {};
}

Result<ModelSource> ModelSource::described(Kind kind, Json config, std::vector<FileTensor> tensors) {
  ModelSource out;
  out.kind = kind;
  out.architecture = config[kind == Kind::gguf ? "general.architecture" : "model_type"].string();
  out.path = config["general.name"].string();
  out.config = std::move(config);
  for (FileTensor& tensor : tensors) LANDFALL_TRY(out.add(std::move(tensor)));
  return out;
}

Result<ModelSource> ModelSource::open(Env& env, const std::string& path) {
  ModelSource out;
  out.path = path;
  auto ends_with = [](std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
  };
  if (!env.exists(path)) return Status(Code::not_found, "there is no file or folder '" + path + "'");
  if (env.is_directory(path)) {
    if (env.exists(join_path(path, "config.json"))) {
      LANDFALL_TRY(read_hugging_face(env, path, out));
      return out;
    }
    LANDFALL_ASSIGN(const auto entries, env.list(path));
    std::vector<std::string> found, later;
    for (const DirectoryEntry& entry : entries) {
      // Of a split file only the first part counts.
      const bool later_part =
          entry.name.find("-of-") != std::string::npos && entry.name.find("-00001-of-") == std::string::npos;
      if (ends_with(entry.name, ".gguf")) (later_part ? later : found).push_back(entry.name);
    }
    if (found.empty() && !later.empty()) found.push_back(later.front());  // it says that the first part is missing
    if (found.size() == 1) {
      LANDFALL_TRY(read_gguf(env, join_path(path, found[0]), out));
      return out;
    }
    if (found.empty()) {
      return Status(Code::not_found, "folder '" + path + "' holds neither config.json nor a .gguf file");
    }
    return Status(Code::invalid_argument, "folder '" + path + "' holds " + std::to_string(found.size()) +
                                              " GGUF models; name one, for example '" + join_path(path, found[0]) +
                                              "'");
  }
  if (ends_with(path, ".safetensors") || ends_with(path, ".json")) {
    LANDFALL_TRY(read_hugging_face(env, std::string(folder_of(path)), out));
    return out;
  }
  LANDFALL_ASSIGN(const auto file, env.map(path));
  LANDFALL_TRY(is_packed(file->bytes()) ? read_packed(env, path, out) : read_gguf(env, path, out));
  return out;
}

}  // namespace landfall
