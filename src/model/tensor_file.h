// Files of tensors that may be larger than memory: a header, then the rows of each tensor, asked for piece by piece.
// What the writers of GGUF and safetensors share.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/env.h"
#include "tensor/format.h"

namespace landfall {

struct OutputTensor {
  std::string name;
  std::vector<int64_t> shape;  // slowest first; the last is a multiple of the format's block
  const Format* format = nullptr;

  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const;  // product of all other axes
  int64_t row_bytes() const { return columns() / format->block * format->block_bytes; }
  int64_t bytes() const { return rows() * row_bytes(); }
};

// Puts rows [first, first + count) of tensor number `tensor` into `out`, in the format's blocks. Called once for every
// row, in the order of the file, with pieces of some megabytes.
using FillRows = std::function<Status(size_t tensor, int64_t first, int64_t count, std::span<std::byte> out)>;

// (bytes done, bytes of all); returning false cancels.
using WriteProgress = std::function<bool(uint64_t, uint64_t)>;

// Writes `header`, whose length is a multiple of `alignment`, and behind it the tensors, each from a multiple of
// `alignment` on. The file appears under its name only when it is whole; after an error, a full disk or a cancelled run
// nothing is left, and what stood there before stays.
Status write_tensor_file(Env& env, const std::string& path, const std::string& header, uint64_t alignment,
                         std::span<const OutputTensor> tensors, const FillRows& fill, const WriteProgress& progress);

// The next multiple of `alignment`.
inline uint64_t aligned(uint64_t at, uint64_t alignment) { return (at + alignment - 1) / alignment * alignment; }

}  // namespace landfall
