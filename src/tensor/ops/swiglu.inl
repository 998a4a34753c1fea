void swiglu_kernel(Ctx& ctx, OpCall& c) {
  const int64_t n = c.in[0].last(), rows = c.in[0].elements() / (n > 0 ? n : 1);
  const float *gate = data<float>(c.in[0]), *up = data<float>(c.in[1]);
  float* out = data<float>(c.out[0]);
  ctx.pool.parallel_for(rows, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin * n; i < end * n; i += 16) {
      const int left = static_cast<int>(end * n - i < 16 ? end * n - i : 16);
      store_partial(out + i, mul(silu(load_partial(gate + i, left)), load_partial(up + i, left)), left);
    }
  });
}

// With s = 1 / (1 + e^-gate): d gate = g up s (1 + gate (1 - s)), d up = g gate s.
void swiglu_backward(Ctx& ctx, const GradCall& g) {
  const float *gate = data<float>(g.call.in[0]), *up = data<float>(g.call.in[1]), *grad = data<float>(g.grad_out[0]);
  float* grad_gate = g.grad_in[0].buffer ? data<float>(g.grad_in[0]) : nullptr;
  float* grad_up = g.grad_in[1].buffer ? data<float>(g.grad_in[1]) : nullptr;
  ctx.pool.parallel_for(g.call.in[0].elements(), 1 << 12, [&](int64_t begin, int64_t end, int) {
    const F32 one = set_f32(1.0f);
    for (int64_t i = begin; i < end; i += 16) {
      const int left = static_cast<int>(end - i < 16 ? end - i : 16);
      const F32 x = load_partial(gate + i, left), y = load_partial(grad + i, left);
      const F32 s = div(one, add(one, exp(sub(zero(), x)))), xs = mul(x, s);
      // One after the other: both may be the same tensor.
      if (grad_gate) {
        const F32 slope = add(s, mul(xs, sub(one, s)));
        const F32 d = mul(mul(y, load_partial(up + i, left)), slope);
        store_partial(grad_gate + i, add(load_partial(grad_gate + i, left), d), left);
      }
      if (grad_up) store_partial(grad_up + i, fma(y, xs, load_partial(grad_up + i, left)), left);
    }
  });
}
