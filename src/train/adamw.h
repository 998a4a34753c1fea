// AdamW (Loshchilov & Hutter, arXiv 1711.05101) with clipping of the gradients' common norm. Each number is updated by
// itself, and sums run in one fixed order, so the result does not depend on threads. Owns the moments.
#pragma once

#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/tensor.h"
#include "train/trainable.h"

namespace landfall {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  double weight_decay = 0.1;  // of parameters that decay, times the learning rate
  double clip = 1.0;          // largest norm of all gradients together; 0: no clipping
};

class AdamW {
 public:
  AdamW(const AdamWOptions& options, std::span<const Parameter> parameters);

  // The norm of all gradients, of the values themselves. gradients: one for each parameter, f32, or without memory.
  static double norm(std::span<const Parameter> parameters, std::span<const Tensor> gradients, ThreadPool& pool);
  // One update of every parameter. step: from 0. `norm`: as norm() gives it.
  void update(std::span<Parameter> parameters, std::span<const Tensor> gradients, double norm, double learning_rate,
              int64_t step, ThreadPool& pool);

  struct Moments {
    std::vector<float> first, second;  // as Parameter::value
  };
  std::span<Moments> moments() { return moments_; }

 private:
  AdamWOptions options_;
  std::vector<Moments> moments_;
};

}  // namespace landfall
