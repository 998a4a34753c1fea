#include "train/load_balance.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/counter_random.h"

namespace landfall {
namespace {

// Rows whose scores favour low experts choose two of eight by score + bias.
std::vector<int64_t> chosen(std::span<const float> bias, uint64_t step) {
  std::vector<int64_t> counts(bias.size());
  const CounterRandom random(3, step);
  for (uint64_t row = 0; row < 512; ++row) {
    size_t first = 0, second = 0;
    std::vector<double> scores;
    for (size_t e = 0; e < bias.size(); ++e)
      scores.push_back(0.15 * random.normal(row * bias.size() + e) - 0.05 * static_cast<double>(e) + bias[e]);
    for (size_t e = 0; e < scores.size(); ++e) first = scores[e] > scores[first] ? e : first;
    second = first == 0 ? 1 : 0;
    for (size_t e = 0; e < scores.size(); ++e) second = e != first && scores[e] > scores[second] ? e : second;
    ++counts[first];
    ++counts[second];
  }
  return counts;
}

TEST(LoadBalance, MovesASkewedRouterToEvenLoads) {
  std::vector<float> bias(8);
  const double before = load_imbalance(chosen(bias, 0));
  EXPECT_GT(before, 2.0);
  for (uint64_t step = 0; step < 400; ++step) move_selection_bias(bias, chosen(bias, step), 1e-3);
  EXPECT_LT(load_imbalance(chosen(bias, 1000)), 1.2);
  EXPECT_LT(bias[0], 0);
  EXPECT_GT(bias[7], 0);
}

TEST(LoadBalance, AnExpertWithItsShareStays) {
  std::vector<float> bias = {1, 1, 1};
  move_selection_bias(bias, std::vector<int64_t>{5, 4, 3}, 0.25);
  EXPECT_EQ(bias, (std::vector<float>{0.75, 1, 1.25}));
}

TEST(LoadBalance, ImbalanceIsTheLargestOverTheMean) {
  EXPECT_EQ(load_imbalance(std::vector<int64_t>{2, 2, 2}), 1);
  EXPECT_EQ(load_imbalance(std::vector<int64_t>{6, 0, 0}), 3);
  EXPECT_EQ(load_imbalance(std::vector<int64_t>{0, 0}), 0);
}

}  // namespace
}  // namespace landfall
