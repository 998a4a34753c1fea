// Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024): a matrix moves along the
// orthogonal part of its momentum, U Vᵀ of U S Vᵀ, found by five Newton-Schulz iterations. Scaled as by Liu et al.,
// "Muon is Scalable for LLM Training", arXiv 2502.16982, so that learning rate and weight decay are those of AdamW.
#pragma once

#include <span>
#include <vector>

#include "base/cpu.h"
#include "train/optimizer.h"

namespace landfall {

// Updates the values and the momentum of one expert's matrix of a parameter. gradient: [experts, out, in], times
// `factor`; null: zeros. On the calling thread alone: there are many matrices, and whole ones keep threads evenly at
// work.
void muon_update(Parameter& parameter, int64_t expert, const float* gradient, float factor, double learning_rate,
                 const OptimizerOptions& options, std::span<float> momentum, KernelSet kernels);

// x [rows, columns] becomes about its orthogonal part: singular values end between 0.7 and 1.2.
void orthogonalise(std::span<float> x, int64_t rows, int64_t columns, KernelSet kernels);

}  // namespace landfall
