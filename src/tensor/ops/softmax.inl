void softmax_kernel(Ctx& ctx, OpCall& c) {
  const int64_t n = c.in[0].last(), rows = c.in[0].elements() / n;
  ctx.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* x = data<float>(c.in[0]) + r * n;
      float* y = data<float>(c.out[0]) + r * n;
      float most = x[0];
      for (int64_t i = 1; i < n; ++i) most = x[i] > most ? x[i] : most;
      F32 total = zero();
      for (int64_t i = 0; i < n; i += 16) {
        const int left = static_cast<int>(n - i < 16 ? n - i : 16);
        const F32 e = exp(sub(load_partial(x + i, left), set_f32(most)));
        store_partial(y + i, e, left);
        total = add(total, load_partial(y + i, left));
      }
      const F32 inverse = set_f32(1.0f / sum(total));
      for (int64_t i = 0; i < n; i += 16) {
        const int left = static_cast<int>(n - i < 16 ? n - i : 16);
        store_partial(y + i, mul(load_partial(y + i, left), inverse), left);
      }
    }
  });
}

void softmax_backward(Ctx& ctx, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const int64_t n = g.call.in[0].last(), rows = g.call.in[0].elements() / n;
  ctx.pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float *y = data<float>(g.call.out[0]) + r * n, *up = data<float>(g.grad_out[0]) + r * n;
      float* grad = data<float>(g.grad_in[0]) + r * n;
      const F32 mean = set_f32(dot_f32(up, y, n));
      for (int64_t i = 0; i < n; i += 16) {
        const int left = static_cast<int>(n - i < 16 ? n - i : 16);
        const F32 d = sub(load_partial(up + i, left), mean);
        store_partial(grad + i, fma(load_partial(y + i, left), d, load_partial(grad + i, left)), left);
      }
    }
  });
}
