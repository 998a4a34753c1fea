// Products with the transpose of a weight: y[c] = sum over o of x[o] * weight[expert][o][c]. For kernels only.
#pragma once

#include "tensor/ctx.h"

namespace landfall {

// One row, one thread. y [weight.in]; acc: padded_in * 16 floats of scratch.
void multiply_transposed(const Ctx& ctx, const Weight& weight, int64_t expert, const float* x, float* y, float* acc);

// The transpose of every expert as a weight [experts, in, out] in the arena, in bf16 where products of bf16 serve, else
// in f32: for many rows. `memory` has to live as long as the weight.
Weight transpose(Ctx& ctx, const Weight& weight, Buffer& memory);
// The size of that memory.
int64_t transposed_bytes(const Ctx& ctx, const Weight& weight);

}  // namespace landfall
