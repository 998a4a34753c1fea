// What a count of right answers says, and what two counts on the same items say about each other. Pure functions.
#pragma once

#include <cstdint>

namespace landfall {

struct Interval {
  double low = 0, high = 0;
};

// 95 % interval of a proportion, `right` of `n` (n from 1). Wilson's score interval without continuity correction
// (Wilson 1927; Newcombe, Statistics in Medicine 17:857, 1998, method 3).
Interval wilson_interval(int64_t right, int64_t n);

// Two examinees on the same n items: those that only the first or only the second got right.
struct Pairs {
  int64_t n = 0, only_first = 0, only_second = 0;
  double difference() const { return static_cast<double>(only_first - only_second) / static_cast<double>(n); }
};

// 95 % interval of the difference of the two proportions, first minus second: Wald's with Laplace's adjustment (Bonett
// and Price, Journal of Educational and Behavioral Statistics 37:479, 2012; recommended by Fagerland, Lydersen and
// Laake, Statistics in Medicine 33:2850, 2014). It has a width even where the two never differ.
Interval paired_interval(const Pairs& pairs);

// McNemar's exact two-sided test: how probable a split of the differing items at least as uneven is, if neither
// examinee is better. 1 where none differ.
double mcnemar_p(const Pairs& pairs);

}  // namespace landfall
