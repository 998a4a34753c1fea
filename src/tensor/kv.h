// What attention sees of the cache. The runtime owns the pages; the view is passed in for one step. An architecture
// names its slots; a slot holds one row per position and sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tensor/batch.h"
#include "tensor/tensor.h"

namespace landfall {

inline constexpr int32_t kPagePositions = 128;

struct CacheSlot {
  std::string name;
  int32_t width = 0;  // numbers per position
};

// The numbers of every row in a cache. int8: codes, then a bf16 scale for each 32 of them (the last may be fewer).
enum class CacheType : uint8_t { f32, bf16, int8 };
// Bytes of a row.
constexpr int64_t cache_row_bytes(CacheType type, int64_t width) {
  if (type == CacheType::int8) return width + (width + 31) / 32 * 2;
  return width * (type == CacheType::bf16 ? 2 : 4);
}

class KvView {
 public:
  virtual ~KvView() = default;
  virtual CacheType type() const = 0;
  // Pages of one slot for one sequence in order of position; each holds kPagePositions rows of the slot's width,
  // row-major. Pages cover at least past + count positions of the sequence's run in this step.
  virtual std::span<std::byte* const> pages(int slot, int32_t sequence) = 0;
};

}  // namespace landfall
