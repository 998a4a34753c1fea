// The bandwidth loop, compiled per target.

inline float read_all(const float* p, int64_t n) {
  F32 a = zero(), b = zero(), c = zero(), d = zero();
  for (int64_t i = 0; i + 64 <= n; i += 64) {
    a = max(a, load_f32(p + i));
    b = max(b, load_f32(p + i + 16));
    c = max(c, load_f32(p + i + 32));
    d = max(d, load_f32(p + i + 48));
  }
  return largest(max(max(a, b), max(c, d)));
}
