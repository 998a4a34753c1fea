#include "lifecycle/evaluation/statistics.h"

#include <gtest/gtest.h>

namespace landfall {
namespace {

// Newcombe 1998, table I, method 3, to the four digits printed there.
TEST(Statistics, WilsonAsPublished) {
  const struct {
    int64_t right, n;
    double low, high;
  } rows[] = {{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0.0000, 0.1611}, {1, 29, 0.0061, 0.1718}};
  for (const auto& [right, n, low, high] : rows) {
    const Interval i = wilson_interval(right, n);
    EXPECT_NEAR(i.low, low, 5e-5) << right;
    EXPECT_NEAR(i.high, high, 5e-5) << right;
  }
}

// The airway study of Bentur et al. in Fagerland, Lydersen and Laake 2014: of 21 pairs, 1 and 7 differ.
TEST(Statistics, PairsAsPublished) {
  const Pairs pairs{.n = 21, .only_first = 1, .only_second = 7};
  EXPECT_NEAR(pairs.difference(), -0.286, 5e-4);
  const Interval i = paired_interval(pairs);
  EXPECT_NEAR(i.low, -0.508, 5e-4);
  EXPECT_NEAR(i.high, -0.013, 5e-4);
  EXPECT_NEAR(mcnemar_p(pairs), 0.0703, 5e-5);  // 18 / 256
}

TEST(Statistics, PairsThatNeverDifferSayLittleWhenTheyAreFew) {
  const Interval few = paired_interval({.n = 5}), many = paired_interval({.n = 5000});
  EXPECT_GT(few.high, 0.3);
  EXPECT_LT(many.high, 0.001);
  EXPECT_EQ(few.low, -few.high);
  EXPECT_EQ(mcnemar_p({.n = 5}), 1);
}

}  // namespace
}  // namespace landfall
