// The learning rate of each step: a linear warm-up to the peak, then a decay to a floor.
//   cosine   half a cosine over the rest (Loshchilov & Hutter, arXiv 1608.03983)
//   linear   a straight line over the rest
//   wsd      constant, and a straight line over the last part (warm-up, stable, decay; Hu et al., arXiv 2404.06395)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace landfall {

struct Schedule {
  enum class Shape : uint8_t { cosine, linear, wsd };
  Shape shape = Shape::cosine;
  double peak = 3e-4;
  double floor_share = 0.1;  // of the peak, at the end
  int64_t warm_up = 0;       // steps
  int64_t steps = 1;         // all of them
  double decay_share = 0.2;  // of all steps, for wsd

  // step: from 0.
  double at(int64_t step) const {
    if (step < warm_up) return peak * static_cast<double>(step + 1) / static_cast<double>(warm_up);
    const int64_t begin =
        shape == Shape::wsd ? std::max<int64_t>(warm_up, steps - std::llround(decay_share * static_cast<double>(steps)))
                            : warm_up;
    if (step < begin) return peak;
    const double done =
        std::min(1.0, static_cast<double>(step - begin) / static_cast<double>(std::max<int64_t>(1, steps - begin)));
    const double left = shape == Shape::cosine ? 0.5 * (1.0 + std::cos(std::numbers::pi * done)) : 1.0 - done;
    return peak * (floor_share + (1.0 - floor_share) * left);
  }
};

}  // namespace landfall
