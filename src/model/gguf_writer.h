// Writes a GGUF file, version 3, whose tensors may be larger than memory: their rows are asked for piece by piece. The
// file appears under its name only when it is whole; after an error, a full disk or a cancelled run nothing is left.
// Source: the format's specification in ggml.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/json.h"
#include "model/tensor_file.h"

namespace landfall {

// Keys with their values as the file has them, one behind the other.
struct GgufMetadata {
  uint64_t count = 0;
  std::string bytes;
  uint64_t alignment = 32;  // what "general.alignment" among them says
};

// metadata: an object of full keys. Whole numbers become u32 (or i64 where they do not fit), other numbers f32, arrays
// arrays of i32, f32 or strings by their first element.
GgufMetadata encode_metadata(const Json& metadata);

// progress(bytes done, bytes of all) returning false cancels.
Status write_gguf(Env& env, const std::string& path, const GgufMetadata& metadata,
                  std::span<const OutputTensor> tensors, const FillRows& fill, const WriteProgress& progress);

}  // namespace landfall
