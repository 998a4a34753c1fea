// Products of activation rows with weights: what linear, per-head and expert operators share. For kernels only.
#pragma once

#include <span>

#include "tensor/ctx.h"
#include "tensor/format.h"

namespace landfall {

// Whether both factors of products with this weight are rounded to bf16 though the device is exact (Device::bf16), on
// the way back too.
bool rounds_to_bf16(const Ctx& ctx, const Weight& weight);

// Rows of activations (each weight.in floats; all axes of x but the last, in order) made ready for `weight` in the
// arena: floats, or rounded to what the format's kernels take where the device is not exact.
PackedRows pack_rows(Ctx& ctx, const Weight& weight, const Tensor& x);

// The same for rows base + i * stride (in floats), i < count.
PackedRows pack_rows(Ctx& ctx, const Weight& weight, const float* base, int64_t stride, int64_t count);

// x[i] -= what packed row `row` of 8-bit codes stands for in column i, i < n: what packing has lost of it.
void subtract_codes(const PackedRows& packed, int64_t row, int64_t n, float* x);

// A packed form of the same activations serves all weights of which this is equal.
bool same_packing(const Ctx& ctx, const Weight& a, const Weight& b);

// Packed rows [first, first + count) go through one expert of a weight: y[i * y_stride + o] is row (first + i) times
// output o.
struct Product {
  const Weight* weight;
  int64_t expert;
  const PackedRows* x;
  int64_t first, count;
  float* y;
  int64_t y_stride;
};

// All products as one queue of panels over the threads, cut as for `rows` rows (split_for), or 0: for the most of one
// product.
void multiply(Ctx& ctx, std::span<const Product> work, int64_t rows = 0);

// y[i * 16 + lane] = row (first + i) times output 16 * panel + lane; lanes past weight.out are zero.
void panel_product(const Ctx& ctx, const Weight& weight, int64_t expert, int64_t panel, const PackedRows& x,
                   int64_t first, int64_t rows, float* y);

// How a loop over panels is cut: for a single row each thread reads one stream of weights.
inline ThreadPool::Split split_for(int64_t rows) {
  return rows == 1 ? ThreadPool::Split::even : ThreadPool::Split::guided;
}

}  // namespace landfall
