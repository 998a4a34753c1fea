#include "lifecycle/evaluation/statistics.h"

#include <algorithm>
#include <cmath>

namespace landfall {
namespace {

constexpr double kZ = 1.959963984540054;  // the normal distribution's 97.5 % quantile

}  // namespace

Interval wilson_interval(int64_t right, int64_t n) {
  const auto count = static_cast<double>(n);
  const double p = static_cast<double>(right) / count, z2 = kZ * kZ;
  const double centre = p + z2 / (2 * count), spread = kZ * std::sqrt(p * (1 - p) / count + z2 / (4 * count * count));
  return {std::max(0.0, (centre - spread) / (1 + z2 / count)), std::min(1.0, (centre + spread) / (1 + z2 / count))};
}

Interval paired_interval(const Pairs& pairs) {
  const double n = static_cast<double>(pairs.n) + 2;
  const double first = static_cast<double>(pairs.only_first + 1) / n;
  const double second = static_cast<double>(pairs.only_second + 1) / n;
  const double difference = first - second;
  const double spread = kZ * std::sqrt((first + second - difference * difference) / n);
  return {std::max(-1.0, difference - spread), std::min(1.0, difference + spread)};
}

double mcnemar_p(const Pairs& pairs) {
  const int64_t n = pairs.only_first + pairs.only_second;
  const int64_t fewer = std::min(pairs.only_first, pairs.only_second);
  double sum = 0;  // of binomial(n, k) / 2^n, k from 0 to the smaller count
  for (int64_t k = 0; k <= fewer; ++k) {
    sum += std::exp(std::lgamma(static_cast<double>(n) + 1) - std::lgamma(static_cast<double>(k) + 1) -
                    std::lgamma(static_cast<double>(n - k) + 1) - static_cast<double>(n) * std::log(2.0));
  }
  return std::min(1.0, 2 * sum);
}

}  // namespace landfall
