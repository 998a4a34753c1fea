// Transposing, compiled per target.

// y[c] = sum of the 16 lanes of acc[c]
inline void sum_lanes(const float* acc, int64_t n, float* y) {
  for (int64_t c = 0; c < n; ++c) y[c] = sum(load_f32(acc + 16 * c));
}
