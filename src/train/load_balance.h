// Keeping the experts of a layer equally busy without a loss for it (Wang et al., "Auxiliary-Loss-Free Load Balancing
// Strategy for Mixture-of-Experts", arXiv 2408.15664; DeepSeek-V3, arXiv 2412.19437, section 2.1.2): after each step
// the selection bias of an expert that got more than its share of the rows falls by a fixed speed, and that of one that
// got less rises. The bias decides the choice alone and never the weights, so it has no gradient. Pure; safe from any
// thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>

namespace landfall {

// counts: how many rows chose each expert.
inline void move_selection_bias(std::span<float> bias, std::span<const int64_t> counts, double speed) {
  const int64_t sum = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  for (size_t e = 0; e < bias.size(); ++e) {
    const int64_t over = counts[e] * static_cast<int64_t>(counts.size()) - sum;  // against the mean, exactly
    if (over != 0) bias[e] += static_cast<float>(over > 0 ? -speed : speed);
  }
}

// The largest count over the mean one: 1 is even. 0 without counts.
inline double load_imbalance(std::span<const int64_t> counts) {
  const int64_t sum = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (sum == 0) return 0;
  return static_cast<double>(*std::max_element(counts.begin(), counts.end()) * static_cast<int64_t>(counts.size())) /
         static_cast<double>(sum);
}

}  // namespace landfall
