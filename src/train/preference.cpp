#include "train/preference.h"

#include <cmath>

#include "base/result.h"

namespace landfall {

PreferenceLoss preference_loss(const PackedBatch& batch, std::span<const double> policy,
                               std::span<const double> reference, double beta) {
  LANDFALL_CHECK(batch.runs.size() % 2 == 0 && policy.size() == reference.size());
  // For each run where its learned rows begin, and how much less likely the answer has become.
  std::vector<size_t> begin;
  std::vector<double> lost;
  size_t at = 0;
  for (const PackedRun& run : batch.runs) {
    begin.push_back(at);
    lost.push_back(0);
    for (int32_t r = run.first; r < run.first + run.count; ++r) {
      if (batch.targets[static_cast<size_t>(r)] < 0) continue;
      lost.back() += policy[at] - reference[at];
      ++at;
    }
  }
  begin.push_back(at);
  LANDFALL_CHECK(at == policy.size());
  PreferenceLoss out;
  out.weights.resize(at);
  for (size_t chosen = 0; chosen < batch.runs.size(); chosen += 2) {
    const double z = beta * (lost[chosen + 1] - lost[chosen]);
    out.sum += z > 0 ? std::log1p(std::exp(-z)) : std::log1p(std::exp(z)) - z;
    out.right += z > 0;
    ++out.pairs;
    const double slope = beta / (1.0 + std::exp(z));  // beta sigmoid(-z)
    for (size_t k = begin[chosen]; k < begin[chosen + 1]; ++k) out.weights[k] = slope;
    for (size_t k = begin[chosen + 1]; k < begin[chosen + 2]; ++k) out.weights[k] = -slope;
  }
  return out;
}

}  // namespace landfall
