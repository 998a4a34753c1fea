#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "tensor/access.h"
#include "train/muon.h"

namespace landfall {
namespace {

constexpr int64_t kNormPiece = 1 << 16;  // numbers; sums of pieces are added in order

}  // namespace

Optimizer::Optimizer(const OptimizerOptions& options, std::span<const Parameter> parameters) : options_(options) {
  for (const Parameter& p : parameters) {
    using Kind = Moment::Kind;
    const bool small = options.small_moments && !by_muon(p);
    const Kind second = by_muon(p) ? Kind::none : small ? Kind::unsigned_8_bits : Kind::f32;
    moments_.push_back({Moment(p.elements(), small ? Kind::signed_8_bits : Kind::f32), Moment(p.elements(), second)});
  }
}

int64_t Optimizer::bytes() const {
  int64_t sum = 0;
  for (const Moments& m : moments_) sum += m.first.bytes() + m.second.bytes();
  return sum;
}

double Optimizer::norm(std::span<const Parameter> parameters, std::span<const Tensor> gradients, ThreadPool& pool) {
  double squares = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (!gradients[i].buffer) continue;
    const float* g = data<float>(gradients[i]);
    const int64_t n = parameters[i].elements(), pieces = (n + kNormPiece - 1) / kNormPiece;
    std::vector<double> sums(static_cast<size_t>(pieces));
    pool.parallel_for(pieces, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t piece = begin; piece < end; ++piece) {
        double lanes[8] = {};
        const int64_t last = std::min(n, (piece + 1) * kNormPiece);
        for (int64_t k = piece * kNormPiece; k < last; ++k) lanes[k % 8] += static_cast<double>(g[k]) * g[k];
        for (double lane : lanes) sums[static_cast<size_t>(piece)] += lane;
      }
    });
    // The gradient of a value is that of what steps see, times the factor between them.
    const double factor = parameters[i].factor;
    for (double sum : sums) squares += factor * factor * sum;
  }
  return std::sqrt(squares);
}

void Optimizer::update(std::span<Parameter> parameters, std::span<const Tensor> gradients, double norm,
                       double learning_rate, int64_t step, ThreadPool& pool, KernelSet kernels) {
  const double t = static_cast<double>(step + 1);
  const double clip = options_.clip > 0 && norm > options_.clip ? options_.clip / norm : 1.0;
  const auto beta1 = static_cast<float>(options_.beta1), beta2 = static_cast<float>(options_.beta2);
  const auto epsilon = static_cast<float>(options_.epsilon);
  // Both corrections of the bias in two numbers: m / (1 - beta1^t) over sqrt(v / (1 - beta2^t)).
  const auto rate = static_cast<float>(learning_rate / (1.0 - std::pow(options_.beta1, t)));
  const auto root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options_.beta2, t)));
  struct Matrix {
    size_t parameter;
    int64_t expert;
  };
  std::vector<Matrix> matrices;
  for (size_t i = 0; i < parameters.size(); ++i) {
    Parameter& p = parameters[i];
    if (by_muon(p)) {
      for (int64_t e = 0; e < p.experts; ++e) matrices.push_back({i, e});
      continue;
    }
    // What nothing has reached has a gradient of zeros, and moves on by its moments like all others.
    const std::vector<float> zeros(gradients[i].buffer ? 0 : p.value.size());
    const float* g = gradients[i].buffer ? data<float>(gradients[i]) : zeros.data();
    const auto factor = static_cast<float>(clip * p.factor);
    const auto keep = static_cast<float>(p.decays ? 1.0 - learning_rate * options_.weight_decay : 1.0);
    Moments& moments = moments_[i];
    const CounterRandom random(options_.seed, splitmix64(static_cast<uint64_t>(step)) + 2 * i),
        random_of_second(options_.seed, splitmix64(static_cast<uint64_t>(step)) + 2 * i + 1);
    pool.parallel_for(moments.first.blocks(), 16, [&](int64_t begin, int64_t end, int) {
      float room[2][Moment::kBlock];
      for (int64_t block = begin; block < end; ++block) {
        float *first = moments.first.load(block, room[0]), *second = moments.second.load(block, room[1]);
        const float* slope = g + block * Moment::kBlock;
        float* value = p.value.data() + block * Moment::kBlock;
        for (int64_t k = 0; k < moments.first.size_of(block); ++k) {
          const float d = slope[k] * factor;
          first[k] = beta1 * first[k] + (1.0f - beta1) * d;
          second[k] = beta2 * second[k] + (1.0f - beta2) * d * d;
          value[k] = value[k] * keep - rate * first[k] / (std::sqrt(second[k]) * root + epsilon);
        }
        moments.first.store(block, first, random);
        moments.second.store(block, second, random_of_second);
      }
    });
  }
  pool.parallel_for(static_cast<int64_t>(matrices.size()), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t k = begin; k < end; ++k) {
      const auto [i, expert] = matrices[static_cast<size_t>(k)];
      const float* g = gradients[i].buffer ? data<float>(gradients[i]) : nullptr;
      muon_update(parameters[i], expert, g, static_cast<float>(clip * parameters[i].factor), learning_rate, options_,
                  moments_[i].first.floats(), kernels);
    }
  });
}

}  // namespace landfall
