// Scores of experts from a router's raw products, for the operators that look at them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "tensor/ops.h"

namespace landfall {

// Of one row: z, out [n].
template <class Real>
void gate(RouterSpec::Gate kind, const Real* z, int64_t n, Real* out) {
  if (kind == RouterSpec::Gate::sigmoid) {
    for (int64_t e = 0; e < n; ++e) out[e] = 1 / (1 + std::exp(-z[e]));
    return;
  }
  const Real most = *std::max_element(z, z + n);
  Real total = 0;
  for (int64_t e = 0; e < n; ++e) total += out[e] = std::exp(z[e] - most);
  for (int64_t e = 0; e < n; ++e) out[e] /= total;
}

}  // namespace landfall
