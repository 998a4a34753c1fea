// A running mean that an optimizer keeps of each number of a parameter: as floats, or as 8 bits a number with a scale
// for each block of 256 (Dettmers et al., "8-bit Optimizers via Block-wise Quantization", arXiv 2110.02861).
//
// 8 bits are a small floating-point number over the block's largest: a sign, 4 bits of exponent and 3 of fraction, or
// for means of squares 5 and 3. A number between two codes becomes one of them by chance, as often as it is near to it:
// with plain rounding a mean that moves by less than half a step would stand still. The draws are counted ones, so a
// run that continues draws the same. Different blocks may be used by different threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/counter_random.h"

namespace landfall {

class Moment {
 public:
  enum class Kind : uint8_t { none, f32, signed_8_bits, unsigned_8_bits };
  static constexpr int64_t kBlock = 256;

  Moment(int64_t numbers, Kind kind);

  int64_t blocks() const { return (numbers_ + kBlock - 1) / kBlock; }
  int64_t size_of(int64_t block) const {
    return numbers_ - block * kBlock < kBlock ? numbers_ - block * kBlock : kBlock;
  }
  // The numbers of a block: where they are kept or, decoded, in `room` of kBlock. Changed ones go back by store().
  float* load(int64_t block, float* room);
  void store(int64_t block, const float* numbers, const CounterRandom& random);

  // All numbers, of a moment in floats.
  std::span<float> floats() { return floats_; }
  // What a checkpoint holds, in this order.
  std::span<std::byte> codes();
  std::span<std::byte> scales() { return std::as_writable_bytes(std::span(scales_)); }
  int64_t bytes() const { return static_cast<int64_t>((floats_.size() + scales_.size()) * 4 + codes_.size()); }

 private:
  int64_t numbers_;
  Kind kind_;
  std::vector<float> floats_;
  std::vector<uint8_t> codes_;
  std::vector<float> scales_;
};

}  // namespace landfall
