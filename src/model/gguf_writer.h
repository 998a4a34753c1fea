// Writes a GGUF file, version 3, whose tensors may be larger than memory: their rows are asked for piece by piece. The
// file appears under its name only when it is whole; after an error, a full disk or a cancelled run nothing is left.
// Source: the format's specification in ggml.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "tensor/format.h"

namespace landfall {

struct GgufTensor {
  std::string name;
  std::vector<int64_t> shape;  // slowest first; the last is a multiple of the format's block
  const Format* format = nullptr;

  int64_t columns() const { return shape.back(); }
  int64_t rows() const;  // product of all other axes
  int64_t row_bytes() const { return columns() / format->block * format->block_bytes; }
  int64_t bytes() const { return rows() * row_bytes(); }
};

// Puts rows [first, first + count) of tensor number `tensor` into `out`, in the format's blocks. Called once for every
// row, in the order of the file, with pieces of some megabytes.
using FillRows = std::function<Status(size_t tensor, int64_t first, int64_t count, std::span<std::byte> out)>;

// metadata: an object of full keys. Whole numbers become u32 (or i64 where they do not fit), other numbers f32, arrays
// arrays of i32, f32 or strings by their first element. "general.alignment" is obeyed. progress(bytes done, bytes of
// all) returning false cancels.
Status write_gguf(Env& env, const std::string& path, const Json& metadata, std::span<const GgufTensor> tensors,
                  const FillRows& fill, const std::function<bool(uint64_t, uint64_t)>& progress);

}  // namespace landfall
