// For kernels over rows of logits: the sum over a row of e^(scale (x - most)), most being its largest number.
inline float exponentials(const float* x, int64_t n, float scale, float& most) {
  most = x[0];
  for (int64_t i = 1; i < n; ++i) most = x[i] > most ? x[i] : most;
  const F32 s = set_f32(scale), m = set_f32(most);
  F32 total = zero();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) total = add(total, exp(mul(s, sub(load_f32(x + i), m))));
  alignas(64) float rest[16] = {};
  if (i < n) {
    const int left = static_cast<int>(n - i);
    store_partial(rest, exp(mul(s, sub(load_partial(x + i, left), m))), left);
  }
  return sum(add(total, load_f32(rest)));
}
