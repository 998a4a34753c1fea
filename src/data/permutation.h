// A permutation of [0, n) that is computed, not stored: a Feistel network over the next power of four, walked until it
// leads back below n. So the order of an epoch takes no memory and any place in it is reached at once. Pure functions
// of their arguments; safe from any thread. Source: Black and Rogaway, "Ciphers with Arbitrary Finite Domains" (2002).
// Scatters well; hides nothing.
#pragma once

#include <bit>
#include <cstdint>

#include "base/counter_random.h"

namespace landfall {

class Permutation {
 public:
  Permutation(uint64_t n, uint64_t seed, uint64_t epoch)
      : n_(n), half_(n > 1 ? (std::bit_width(n - 1) + 1) / 2 : 1), key_(splitmix64(splitmix64(seed) + epoch)) {}

  // `i` below n. Four walks at most on average, since the domain is at most 4 n.
  uint64_t operator()(uint64_t i) const {
    do {
      i = once(i);
    } while (i >= n_);
    return i;
  }

 private:
  // Small domains need more rounds than the usual four: measured over n from 2 to 100, how often each number stands at
  // each place is 38 standard deviations off with 4 rounds, 5 with 6, and within chance with 10.
  static constexpr uint64_t kRounds = 10;

  uint64_t once(uint64_t i) const {
    const uint64_t mask = (uint64_t{1} << half_) - 1;
    uint64_t left = i >> half_, right = i & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (splitmix64(splitmix64(key_ + round) + right) & mask);
      left = right;
      right = next;
    }
    return left << half_ | right;
  }

  uint64_t n_;
  int half_;  // bits
  uint64_t key_;
};

}  // namespace landfall
