#include "train/moment.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace landfall {
namespace {

constexpr float kLargest = 1.875f;  // of the numbers that codes stand for: exponent 0, all bits of the fraction
constexpr int kFraction = 3;

// What a code without its sign stands for, with the given bits of exponent. The lowest exponent has no leading one.
constexpr float value_of(uint32_t code, int exponent_bits) {
  const int lowest = 2 - (1 << exponent_bits);  // of a number with a leading one
  const auto exponent = static_cast<int>(code >> kFraction);
  const auto fraction = static_cast<float>(code & 7) / 8;
  float out = exponent == 0 ? fraction : 1 + fraction;
  for (int e = exponent == 0 ? lowest : lowest + exponent - 1; e < 0; ++e) out /= 2;
  return out;
}

constexpr std::array<float, 256> values(bool with_sign) {
  std::array<float, 256> out{};
  for (uint32_t code = 0; code < 256; ++code) {
    if (with_sign) {
      out[code] = code & 128 ? -value_of(code & 127, 4) : value_of(code, 4);
    } else {
      out[code] = value_of(code, 5);
    }
  }
  return out;
}
constexpr std::array<float, 256> kSigned = values(true), kUnsigned = values(false);

// The code of x in [0, kLargest]; chance: 32 random bits.
uint32_t code_of(float x, int exponent_bits, uint32_t chance) {
  const int lowest = 2 - (1 << exponent_bits);
  const uint32_t lowest_bits = static_cast<uint32_t>(127 + lowest) << 23;
  const auto bits = std::bit_cast<uint32_t>(x);
  if (bits < lowest_bits) {  // in steps of the smallest number
    const float steps = std::ldexp(x, kFraction - lowest);
    return static_cast<uint32_t>(steps + static_cast<float>(chance >> 8) * 0x1p-24f);
  }
  // What is added to the bits below the fraction carries as often as they are near to the next code.
  return ((bits + (chance >> 12) - lowest_bits) >> (23 - kFraction)) + (1u << kFraction);
}

}  // namespace

Moment::Moment(int64_t numbers, Kind kind) : numbers_(kind == Kind::none ? 0 : numbers), kind_(kind) {
  if (kind == Kind::f32) {
    floats_.resize(static_cast<size_t>(numbers_));
  } else {
    codes_.resize(static_cast<size_t>(numbers_));
    scales_.resize(static_cast<size_t>(blocks()));
  }
}

std::span<std::byte> Moment::codes() {
  return kind_ == Kind::f32 ? std::as_writable_bytes(std::span(floats_)) : std::as_writable_bytes(std::span(codes_));
}

float* Moment::load(int64_t block, float* room) {
  if (kind_ == Kind::f32) return floats_.data() + block * kBlock;
  const std::array<float, 256>& values = kind_ == Kind::signed_8_bits ? kSigned : kUnsigned;
  const uint8_t* code = codes_.data() + block * kBlock;
  const float scale = scales_[static_cast<size_t>(block)];
  for (int64_t i = 0; i < size_of(block); ++i) room[i] = scale * values[code[i]];
  return room;
}

void Moment::store(int64_t block, const float* numbers, const CounterRandom& random) {
  if (kind_ == Kind::f32) return;
  const bool with_sign = kind_ == Kind::signed_8_bits;
  const int64_t n = size_of(block);
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::abs(numbers[i]));
  scales_[static_cast<size_t>(block)] = most / kLargest;
  const float inverse = most > 0 ? kLargest / most : 0;
  uint8_t* code = codes_.data() + block * kBlock;
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t draw = random.bits(static_cast<uint64_t>(block * kBlock + i) / 2);  // enough for two
    const auto chance = static_cast<uint32_t>(i % 2 == 0 ? draw : draw >> 32);
    const float x = std::min(std::abs(numbers[i]) * inverse, kLargest);
    const uint32_t own = code_of(x, with_sign ? 4 : 5, chance);
    code[i] = static_cast<uint8_t>(own | (with_sign && std::signbit(numbers[i]) ? 128 : 0));
  }
}

}  // namespace landfall
