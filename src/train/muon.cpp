#include "train/muon.h"

#include <algorithm>
#include <cmath>

#include "tensor/gemm.h"

namespace landfall {
namespace {

// Of the polynomial a x + b x³ + c x⁵, chosen by Jordan for a steep slope at 0.
constexpr float kA = 3.4445f, kB = -4.7750f, kC = 2.0315f;
constexpr int kIterations = 5;

Factor rows_of(const std::vector<float>& x, int64_t columns) { return {.data = x.data(), .stride = columns}; }

}  // namespace

void orthogonalise(std::span<float> x, int64_t rows, int64_t columns, KernelSet kernels) {
  // The Gram matrix is taken over the longer side.
  const bool turn = rows > columns;
  const int64_t m = turn ? columns : rows, n = turn ? rows : columns;
  std::vector<float> a(static_cast<size_t>(m * n)), next(a.size());
  double squares = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; ++i) {
      const float v = x[static_cast<size_t>(r * columns + i)];
      squares += static_cast<double>(v) * v;
      a[static_cast<size_t>(turn ? i * rows + r : r * columns + i)] = v;
    }
  }
  const auto inverse = static_cast<float>(1.0 / (std::sqrt(squares) + 1e-7));
  for (float& v : a) v *= inverse;
  std::vector<float> gram(static_cast<size_t>(m * m)), square(gram.size());
  std::vector<float> scratch(static_cast<size_t>(gemm_scratch_floats()));
  const auto add_product = [&](const Gemm& g) { gemm_here(kernels, g, scratch.data()); };
  for (int i = 0; i < kIterations; ++i) {  // a = kA a + (kB g + kC g g) a with g = a aᵀ
    std::fill(gram.begin(), gram.end(), 0.0f);
    add_product({m, m, n, rows_of(a, n), transposed(rows_of(a, n)), gram.data(), m});
    std::fill(square.begin(), square.end(), 0.0f);
    add_product({m, m, m, rows_of(gram, m), rows_of(gram, m), square.data(), m});
    for (size_t k = 0; k < gram.size(); ++k) square[k] = kB * gram[k] + kC * square[k];
    for (size_t k = 0; k < a.size(); ++k) next[k] = kA * a[k];
    add_product({m, n, m, rows_of(square, m), rows_of(a, n), next.data(), n});
    std::swap(a, next);
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < columns; ++i)
      x[static_cast<size_t>(r * columns + i)] = a[static_cast<size_t>(turn ? i * rows + r : r * columns + i)];
  }
}

void muon_update(Parameter& p, int64_t expert, const float* gradient, float factor, double learning_rate,
                 const OptimizerOptions& options, std::span<float> momentum, KernelSet kernels) {
  const auto keep = static_cast<float>(1.0 - learning_rate * options.weight_decay);
  const auto inertia = static_cast<float>(options.momentum);
  // An orthogonal matrix has numbers of about 1 / sqrt(longer side); AdamW's updates have about 0.2.
  const auto rate = static_cast<float>(learning_rate * 0.2 * std::sqrt(static_cast<double>(std::max(p.out, p.in))));
  std::vector<float> x(static_cast<size_t>(p.out * p.in));
  const size_t first = static_cast<size_t>(expert) * x.size();
  for (size_t k = 0; k < x.size(); ++k) {
    const float g = gradient ? gradient[first + k] * factor : 0.0f;
    float& m = momentum[first + k];
    m = inertia * m + g;
    x[k] = inertia * m + g;  // Nesterov's
  }
  orthogonalise(x, p.out, p.in, kernels);
  for (size_t k = 0; k < x.size(); ++k) p.value[first + k] = p.value[first + k] * keep - rate * x[k];
}

}  // namespace landfall
