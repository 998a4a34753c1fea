// The core of every feed-forward block, dense or of experts: gate and up with the activation in one pass over the
// panels, down and the weighted sum in another. For kernels only.
#pragma once

#include <span>

#include "tensor/ctx.h"
#include "tensor/ops.h"

namespace landfall {

// Entries [first, first + count) go through one expert of a block.
struct GatedRows {
  FeedForward weights;
  int64_t expert, first, count;
};

// out[row[i]] = sum over its entries i, in order of i, of weight[i] * block(x[row[i]]). row null: entry i is row i, of
// weight 1. Every row of `out` is written. The work is in order of `first` and leaves no gap.
void multiply_gated(Ctx& ctx, const Tensor& x, std::span<const GatedRows> work, const int32_t* row, const float* weight,
                    const Tensor& out);

}  // namespace landfall
