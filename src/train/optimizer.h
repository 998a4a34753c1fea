// What makes an update of gradients, after clipping their common norm:
//   AdamW  each number by itself (Loshchilov & Hutter, arXiv 1711.05101)
//   Muon   matrices of the layers by the orthogonal part of their momentum (train/muon.h), the rest as AdamW does
// Sums run in one fixed order, so the result does not depend on threads. Owns the moments.
#pragma once

#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/tensor.h"
#include "train/moment.h"
#include "train/trainable.h"

namespace landfall {

struct OptimizerOptions {
  enum class Kind : uint8_t { adamw, muon };
  Kind kind = Kind::adamw;
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;   // of parameters that decay, times the learning rate
  double momentum = 0.95;      // of Muon
  double clip = 1.0;           // largest norm of all gradients together; 0: no clipping
  bool small_moments = false;  // AdamW's in 8 bits a number (train/moment.h)
  uint64_t seed = 0;           // of their draws
};

class Optimizer {
 public:
  Optimizer(const OptimizerOptions& options, std::span<const Parameter> parameters);

  // The norm of all gradients, of the values themselves. gradients: one for each parameter, f32, or without memory.
  static double norm(std::span<const Parameter> parameters, std::span<const Tensor> gradients, ThreadPool& pool);
  // One update of every parameter. step: from 0. `norm`: as norm() gives it.
  void update(std::span<Parameter> parameters, std::span<const Tensor> gradients, double norm, double learning_rate,
              int64_t step, ThreadPool& pool, KernelSet kernels);

  struct Moments {
    Moment first, second;  // as Parameter::value; Muon has no second
  };
  std::span<Moments> moments() { return moments_; }
  int64_t bytes() const;  // of all moments

 private:
  bool by_muon(const Parameter& p) const { return options_.kind == OptimizerOptions::Kind::muon && p.hidden; }
  OptimizerOptions options_;
  std::vector<Moments> moments_;
};

}  // namespace landfall
