#include "tensor/gradients.h"

#include <cstring>

namespace landfall {
namespace {

// Where row i (all axes but the last) begins, in floats.
int64_t row_offset(const Tensor& t, int64_t i) {
  int64_t out = 0;
  for (int axis = t.rank - 2; axis >= 0; --axis) {
    const auto a = static_cast<size_t>(axis);
    out += i % t.shape[a] * t.stride[a];
    i /= t.shape[a];
  }
  return out;
}

void add_floats(float* to, const float* from, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}

}  // namespace

void add_tensor(Ctx& ctx, const Tensor& to, const Tensor& from) {
  LANDFALL_CHECK(to.type == DType::f32 && from.type == DType::f32 && to.elements() == from.elements());
  float* y = data<float>(to);
  const float* x = data<float>(from);
  if (to.contiguous() && from.contiguous()) {
    ctx.pool.parallel_for(to.elements(), 1 << 14,
                          [&](int64_t begin, int64_t end, int) { add_floats(y + begin, x + begin, end - begin); });
    return;
  }
  LANDFALL_CHECK(to.shape == from.shape, to.shape_text() + " and " + from.shape_text());
  const int64_t n = to.last();
  if (n == 0) return;
  ctx.pool.parallel_for(to.elements() / n, 64, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) add_floats(y + row_offset(to, i), x + row_offset(from, i), n);
  });
}

void clear_tensor(Ctx& ctx, const Tensor& t) {
  LANDFALL_CHECK(t.contiguous(), t.shape_text());
  std::byte* bytes = data<std::byte>(t);
  ctx.pool.parallel_for(t.elements() * size_of(t.type), 1 << 16, [&](int64_t begin, int64_t end, int) {
    std::memset(bytes + begin, 0, static_cast<size_t>(end - begin));
  });
}

}  // namespace landfall
