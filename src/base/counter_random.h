// Random numbers that are computed from where they are used: nothing to save in a checkpoint, the same on any number of
// threads. splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014) over a mixed key.
// Pure; safe from any thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace landfall {

// One step of splitmix64: each bit of x moves about half of the result's.
constexpr uint64_t splitmix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

class CounterRandom {
 public:
  CounterRandom(uint64_t seed, uint64_t stream) : key_(splitmix64(splitmix64(seed) ^ stream)) {}

  uint64_t bits(uint64_t counter) const { return splitmix64(key_ + counter); }
  double uniform(uint64_t counter) const { return static_cast<double>(bits(counter) >> 11) * 0x1p-53; }  // [0, 1)
  // Box and Muller 1958; mean 0, standard deviation 1.
  double normal(uint64_t counter) const {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(2 * counter)));
    return radius * std::cos(2.0 * std::numbers::pi * uniform(2 * counter + 1));
  }

 private:
  uint64_t key_;
};

}  // namespace landfall
