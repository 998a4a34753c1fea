#include "train/preference.h"

#include <gtest/gtest.h>

#include <cmath>

namespace landfall {
namespace {

// Two pairs; of the runs 2, 1, 3 and 1 rows are learned.
PackedBatch batch() {
  return {.tokens = std::vector<int32_t>(11),
          .positions = {},
          .targets = {-1, 5, 6, -1, 7, -1, 1, 2, 3, -1, 9},
          .runs = {{0, 3}, {3, 2}, {5, 4}, {9, 2}},
          .learned = 7};
}

TEST(Preference, AnEqualModelLosesLogTwoAPair) {
  const std::vector<double> losses = {1, 2, 3, 4, 5, 6, 7};
  const PreferenceLoss loss = preference_loss(batch(), losses, losses, 0.1);
  EXPECT_DOUBLE_EQ(loss.sum, 2 * std::log(2.0));
  EXPECT_EQ(loss.pairs, 2);
  EXPECT_EQ(loss.right, 0);
  EXPECT_EQ(loss.weights, (std::vector<double>{0.05, 0.05, -0.05, 0.05, 0.05, 0.05, -0.05}));
}

TEST(Preference, WeightsAreTheSlopesOfTheLoss) {
  std::vector<double> policy = {1.5, 2.25, 3, 4.5, 4, 6, 9};
  const std::vector<double> reference = {1, 2, 3, 4, 5, 6, 7};
  const PreferenceLoss loss = preference_loss(batch(), policy, reference, 0.7);
  EXPECT_EQ(loss.right, 1);  // the second: its rejected answer has become less likely by 2, the chosen one likelier
  for (size_t k = 0; k < policy.size(); ++k) {
    const double kept = policy[k];
    policy[k] = kept + 1e-5;
    const double above = preference_loss(batch(), policy, reference, 0.7).sum;
    policy[k] = kept - 1e-5;
    const double below = preference_loss(batch(), policy, reference, 0.7).sum;
    policy[k] = kept;
    EXPECT_NEAR((above - below) / 2e-5, loss.weights[k], 1e-9);
  }
}

TEST(Preference, FarApartNothingOverflows) {
  const std::vector<double> policy = {2000, 0, 0, 0, 0, 0, 2000}, reference(7);
  const PreferenceLoss loss = preference_loss(batch(), policy, reference, 1);
  EXPECT_NEAR(loss.sum, 2000, 1e-9);
  for (double w : loss.weights) EXPECT_TRUE(std::isfinite(w));
}

}  // namespace
}  // namespace landfall
