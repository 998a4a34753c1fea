// Matrix products, C += A B, of floats or of floats rounded to bf16, for gradients. For kernels only.
//
// Each number of C is summed over k in one fixed order: in blocks of 256, from the first k of a block to its last, each
// block then added to C. So a result depends neither on the threads nor on how C is cut into tiles.
#pragma once

#include <span>

#include "tensor/ctx.h"

namespace landfall {

// A factor as rows that lie in memory: floats, or one expert of a weight of any format, which is unpacked tile by tile.
struct Factor {
  const float* data = nullptr;
  int64_t stride = 0;              // floats from one row to the next
  const int32_t* index = nullptr;  // row i stands in place index[i]; null: in place i
  const Weight* weight = nullptr;  // instead of data
  int64_t expert = 0;
  bool transposed = false;  // the rows are the factor's columns

  const float* row(int64_t i) const { return data + (index ? index[i] : i) * stride; }
};

// The rows of one expert of a weight; of a vector, its only one.
Factor rows_of(const Weight& weight, int64_t expert = 0);
inline Factor transposed(Factor f) {
  f.transposed = true;
  return f;
}

struct Gemm {
  int64_t m, n, k;
  Factor a;  // [m, k], not of a weight
  Factor b;  // [k, n]
  float* c;  // [m, n]
  int64_t c_stride;
  const int32_t* c_index = nullptr;  // row i of C stands in place c_index[i], each place once; null: in place i

  float* c_row(int64_t i) const { return c + (c_index ? c_index[i] : i) * c_stride; }
};

// All products as one queue of tiles over the threads. They write to different places. bf16: both factors are rounded
// to bf16, to nearest even, and their products summed in f32; where the processor adds pairs of them, in pairs of k,
// and subnormal numbers count as zero. Uses the arena for scratch and gives it back.
void gemm(Ctx& ctx, std::span<const Gemm> work, bool bf16 = false);
inline void gemm(Ctx& ctx, const Gemm& work, bool bf16 = false) { gemm(ctx, {&work, 1}, bf16); }

// One product on the calling thread, inside a parallel loop. scratch: gemm_scratch_floats(), of this thread alone.
void gemm_here(KernelSet kernels, const Gemm& work, float* scratch);
int64_t gemm_scratch_floats();

}  // namespace landfall
