inline void rms_norm_row(const float* x, const float* weight, float epsilon, int64_t n, float* y) {
  const float scale = 1.0f / __builtin_sqrtf(dot_f32(x, x, n) / static_cast<float>(n) + epsilon);
  const F32 s = set_f32(scale);
  for (int64_t i = 0; i < n; i += 16) {
    const int left = static_cast<int>(n - i < 16 ? n - i : 16);
    store_partial(y + i, mul(mul(load_partial(x + i, left), s), load_partial(weight + i, left)), left);
  }
}

void rms_norm_kernel(Ctx& ctx, OpCall& c) {
  const Tensor& x = c.in[0];
  const int64_t n = x.last(), inner = x.rank == 3 ? x.shape[1] : 1;
  const float epsilon = c.attrs.as<float>();
  ctx.pool.parallel_for(x.rows() * inner, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* row = data<float>(x) + t / inner * x.stride[0] + (x.rank == 3 ? t % inner * x.stride[1] : 0);
      rms_norm_row(row, vector_data(*c.weights[0]), epsilon, n, data<float>(c.out[0]) + t * n);
    }
  });
}

// Adds one row's gradients: with y = x s and m = mean(g w y), dx = s (g w - y m), dw = g y. grad_x may be null.
inline void rms_norm_gradient_row(const float* x, const float* weight, const float* up, float epsilon, int64_t n,
                                  float* grad_x, float* grad_w) {
  const float inverse = 1.0f / static_cast<float>(n);
  const F32 s = set_f32(1.0f / __builtin_sqrtf(dot_f32(x, x, n) * inverse + epsilon));
  F32 product = zero();
  for (int64_t i = 0; i < n; i += 16) {
    const int left = static_cast<int>(n - i < 16 ? n - i : 16);
    const F32 y = mul(load_partial(x + i, left), s), g = load_partial(up + i, left);
    product = fma(mul(g, load_partial(weight + i, left)), y, product);
    store_partial(grad_w + i, fma(g, y, load_partial(grad_w + i, left)), left);
  }
  if (!grad_x) return;
  const F32 m = set_f32(sum(product) * inverse);
  for (int64_t i = 0; i < n; i += 16) {
    const int left = static_cast<int>(n - i < 16 ? n - i : 16);
    const F32 y = mul(load_partial(x + i, left), s);
    const F32 g = mul(load_partial(up + i, left), load_partial(weight + i, left));
    store_partial(grad_x + i, fma(sub(g, mul(y, m)), s, load_partial(grad_x + i, left)), left);
  }
}

void rms_norm_backward(Ctx& ctx, const GradCall& g) {
  constexpr int64_t kRows = 32;  // the weight's gradient is summed over so many rows first, whoever takes them
  const Tensor& x = g.call.in[0];
  const int64_t n = x.last(), inner = x.rank == 3 ? x.shape[1] : 1, rows = x.rows() * inner;
  const int64_t parts = (rows + kRows - 1) / kRows;
  const float epsilon = g.call.attrs.as<float>();
  const float* up = data<float>(g.grad_out[0]);
  float* grad_x = g.grad_in[0].buffer ? data<float>(g.grad_in[0]) : nullptr;
  const Arena::Mark mark = ctx.arena.mark();
  auto* grad_w = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(parts * n) * 4));
  ctx.pool.parallel_for(parts, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t part = begin; part < end; ++part) {
      std::memset(grad_w + part * n, 0, static_cast<size_t>(n) * 4);
      for (int64_t t = part * kRows; t < rows && t < (part + 1) * kRows; ++t) {
        const float* row = data<float>(x) + t / inner * x.stride[0] + (x.rank == 3 ? t % inner * x.stride[1] : 0);
        rms_norm_gradient_row(row, vector_data(*g.call.weights[0]), up + t * n, epsilon, n,
                              grad_x ? grad_x + t * n : nullptr, grad_w + part * n);
      }
    }
  });
  if (g.grad_weights[0]) {
    add_rows(ctx, grad_w, parts, n, data<float>(*g.grad_weights[0]), [](int64_t) { return 0; });
  }
  ctx.arena.rewind(mark);
}
