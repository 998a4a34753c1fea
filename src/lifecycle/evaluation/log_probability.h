// log p of a token, from the logits of its position.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace landfall {

// `token` below logits.size(); not a number where a logit is none.
inline double log_probability(std::span<const float> logits, int32_t token) {
  double most = logits[0], total = 0;
  for (const float v : logits) most = std::max(most, static_cast<double>(v));
  for (const float v : logits) total += std::exp(v - most);
  return logits[static_cast<size_t>(token)] - most - std::log(total);
}

}  // namespace landfall
