#include "tensor/ops/exponentials.inl"

void cross_entropy_kernel(Ctx& ctx, OpCall& c) {
  const int64_t n = c.in[0].last();
  ctx.pool.parallel_for(c.in[0].rows(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* x = data<float>(c.in[0]) + r * n;
      float most;
      const float total = exponentials(x, n, 1.0f, most);
      data<float>(c.out[0])[r] = std::log(total) + (most - x[data<int32_t>(c.in[1])[r]]);
    }
  });
}

// grad_x += (softmax(x) - one at the target) * grad of the row's loss
void cross_entropy_backward(Ctx& ctx, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const int64_t n = g.call.in[0].last();
  ctx.pool.parallel_for(g.call.in[0].rows(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* x = data<float>(g.call.in[0]) + r * n;
      float* y = data<float>(g.grad_in[0]) + r * n;
      const float up = data<float>(g.grad_out[0])[r];
      float most;
      const F32 factor = set_f32(up / exponentials(x, n, 1.0f, most));
      for (int64_t i = 0; i < n; i += 16) {
        const int left = static_cast<int>(n - i < 16 ? n - i : 16);
        store_partial(y + i, fma(exp(sub(load_partial(x + i, left), set_f32(most))), factor, load_partial(y + i, left)),
                      left);
      }
      y[data<int32_t>(g.call.in[1])[r]] -= up;
    }
  });
}
