// Rows of scores and of their gradients, compiled per target. A row sees its first n numbers; those up to `width`
// become zeros.

// x = softmax(scale * x)
inline void probabilities_row(float* x, int64_t n, int64_t width, float scale) {
  F32 most_of = set_f32(-3.0e38f), total = zero();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) most_of = max(most_of, load_f32(x + i));
  float most = largest(most_of);
  for (; i < n; ++i) most = x[i] > most ? x[i] : most;
  const F32 factor = set_f32(scale), shift = set_f32(most * scale);
  for (i = 0; i < n; i += 16) {
    const int left = static_cast<int>(n - i < 16 ? n - i : 16);
    store_partial(x + i, exp(sub(mul(load_partial(x + i, left), factor), shift)), left);
    total = add(total, load_partial(x + i, left));
  }
  const F32 inverse = set_f32(1.0f / sum(total));
  for (i = 0; i < n; i += 16) {
    const int left = static_cast<int>(n - i < 16 ? n - i : 16);
    store_partial(x + i, mul(load_partial(x + i, left), inverse), left);
  }
  for (i = n; i < width; ++i) x[i] = 0.0f;
}

// From p and the gradient of p to that of the scores before scaling: grad = scale * p * (grad - sum(p * grad)).
inline void score_gradients_row(const float* p, float* grad, int64_t n, int64_t width, float scale) {
  const F32 mean = set_f32(dot_f32(p, grad, n)), factor = set_f32(scale);
  for (int64_t i = 0; i < n; i += 16) {
    const int left = static_cast<int>(n - i < 16 ? n - i : 16);
    const F32 ds = mul(load_partial(p + i, left), sub(load_partial(grad + i, left), mean));
    store_partial(grad + i, mul(ds, factor), left);
  }
  for (int64_t i = n; i < width; ++i) grad[i] = 0.0f;
}
