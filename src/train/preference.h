// Direct preference optimisation (Rafailov et al., arXiv 2305.18290): of two answers the chosen one is to become more
// likely than the rejected one, measured against the model as it was. With p the log-probability of an answer,
//   loss = -log sigmoid(beta ((p_chosen - p_rejected) - (reference p_chosen - reference p_rejected)))
// Pure; safe from any thread.
#pragma once

#include <span>
#include <vector>

#include "data/packing.h"

namespace landfall {

struct PreferenceLoss {
  double sum = 0;  // of the losses of the pairs
  int64_t pairs = 0;
  int64_t right = 0;            // pairs whose chosen answer has gained on the other
  std::vector<double> weights;  // of each learned row's cross-entropy in the gradient of `sum`
};

// policy, reference: cross-entropy of each learned row of the batch, whose runs are chosen and rejected in turn.
PreferenceLoss preference_loss(const PackedBatch& batch, std::span<const double> policy,
                               std::span<const double> reference, double beta);

}  // namespace landfall
