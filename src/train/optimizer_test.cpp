#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/counter_random.h"
#include "tensor/access.h"
#include "tensor/testing.h"
#include "train/muon.h"

namespace landfall {
namespace {

std::vector<float> noise(size_t n, uint64_t stream) {
  const CounterRandom random(1, stream);
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>(random.normal(i));
  return out;
}

Tensor tensor_of(Arena& arena, const std::vector<float>& values) {
  Tensor t = Tensor::of(DType::f32, {static_cast<int64_t>(values.size())});
  arena.place(t);
  std::memcpy(data<float>(t), values.data(), values.size() * 4);
  return t;
}

// Three steps of the formula as the paper writes it, in double.
TEST(Optimizer, AdamWIsTheFormula) {
  ThreadPool pool(2);
  Arena arena;
  const OptimizerOptions options{.weight_decay = 0.1, .clip = 2.0};
  Parameter p{.name = "p", .out = 30, .in = 7, .value = noise(210, 1), .decays = true};
  std::vector<double> value(p.value.begin(), p.value.end()), m(210), v(210);
  Optimizer optimizer(options, {&p, 1});
  for (int step = 0; step < 3; ++step) {
    const std::vector<float> g = noise(210, static_cast<uint64_t>(2 + step));
    const Tensor gradient = tensor_of(arena, g);
    double squares = 0;
    for (float x : g) squares += static_cast<double>(x) * x;
    const double norm = Optimizer::norm({&p, 1}, {&gradient, 1}, pool);
    EXPECT_NEAR(norm, std::sqrt(squares), 1e-9 * norm);
    optimizer.update({&p, 1}, {&gradient, 1}, norm, 0.01, step, pool, available_kernel_sets().back());
    for (size_t k = 0; k < value.size(); ++k) {
      const double d = g[k] * 2.0 / norm;
      m[k] = 0.9 * m[k] + 0.1 * d;
      v[k] = 0.95 * v[k] + 0.05 * d * d;
      const double first = m[k] / (1 - std::pow(0.9, step + 1)), second = v[k] / (1 - std::pow(0.95, step + 1));
      value[k] -= 0.01 * (first / (std::sqrt(second) + 1e-8) + 0.1 * value[k]);
      EXPECT_NEAR(p.value[k], value[k], 2e-6);
    }
  }
}

TEST(Optimizer, OrthogonalPartsHaveSingularValuesNearOneAndTheSameDirections) {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{24, 40}, {40, 24}, {17, 17}, {1, 9}}) {
    const auto original = noise(static_cast<size_t>(rows * columns), static_cast<uint64_t>(rows));
    for (KernelSet set : available_kernel_sets()) {
      std::vector<float> x = original;
      orthogonalise(x, rows, columns, set);
      // The Gram matrix over the longer side has the squared singular values: near 1 on the diagonal on average, and
      // <x, original> is the sum of the original's singular values, each times one near 1.
      double trace = 0, along = 0;
      for (size_t k = 0; k < x.size(); ++k) {
        trace += static_cast<double>(x[k]) * x[k];
        along += static_cast<double>(x[k]) * original[k];
      }
      const auto least = static_cast<double>(std::min(rows, columns));
      EXPECT_GT(trace, 0.45 * least);
      EXPECT_LT(trace, 1.5 * least);
      EXPECT_GT(along, 0);
      // For a vector, it is the vector itself at a length near 1.
      if (rows == 1) {
        double length = 0;
        for (float v : original) length += static_cast<double>(v) * v;
        for (size_t k = 0; k < x.size(); ++k)
          EXPECT_NEAR(x[k] / std::sqrt(trace), original[k] / std::sqrt(length), 1e-5);
      }
    }
  }
}

}  // namespace
}  // namespace landfall
