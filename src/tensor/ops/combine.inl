void combine_backward(Ctx& ctx, const GradCall& g) {
  const int64_t n = g.call.in[0].last(), k = g.call.in[1].last();
  const float *x = data<float>(g.call.in[0]), *w = data<float>(g.call.in[1]), *up = data<float>(g.grad_out[0]);
  float* grad_x = g.grad_in[0].buffer ? data<float>(g.grad_in[0]) : nullptr;
  float* grad_w = g.grad_in[1].buffer ? data<float>(g.grad_in[1]) : nullptr;
  ctx.pool.parallel_for(g.call.in[1].elements(), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t at = begin; at < end; ++at) {
      const float* row = up + at / k * n;
      if (grad_w) grad_w[at] += dot_f32(x + at * n, row, n);
      if (!grad_x) continue;
      const F32 weight = set_f32(w[at]);
      float* to = grad_x + at * n;
      for (int64_t i = 0; i < n; i += 16) {
        const int left = static_cast<int>(n - i < 16 ? n - i : 16);
        store_partial(to + i, fma(load_partial(row + i, left), weight, load_partial(to + i, left)), left);
      }
    }
  });
}
