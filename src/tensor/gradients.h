// Sums that the gradients of several operators share, in f32. The order of the terms of each number is fixed, whatever
// the threads. For kernels only.
#pragma once

#include "tensor/access.h"
#include "tensor/ctx.h"

namespace landfall {

// to += from: f32 tensors of one number of elements; where the shapes differ both are dense.
void add_tensor(Ctx& ctx, const Tensor& to, const Tensor& from);

// Zeros everywhere in a dense tensor.
void clear_tensor(Ctx& ctx, const Tensor& t);

// Row place(i) of `to` += row i of `from`, i < count in order; rows are dense and may meet in one place.
template <class Place>
void add_rows(Ctx& ctx, const float* from, int64_t count, int64_t width, float* to, Place&& place) {
  // Each thread has columns of its own, so that rows can meet.
  ctx.pool.parallel_for(width, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = 0; i < count; ++i) {
      const float* x = from + i * width;
      float* y = to + place(i) * width;
      for (int64_t c = begin; c < end; ++c) y[c] += x[c];
    }
  });
}

}  // namespace landfall
