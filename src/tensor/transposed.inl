// Transposing, compiled per target.

// y[c] = sum of the 16 lanes of acc[c]
inline void sum_lanes(const float* acc, int64_t n, float* y) {
  for (int64_t c = 0; c < n; ++c) y[c] = sum(load_f32(acc + 16 * c));
}

// n floats rounded to bf16; n is a multiple of 16.
inline void round_row(const float* x, int64_t n, uint16_t* y) {
  for (int64_t i = 0; i < n; i += 16) store_bf16(y + i, load_f32(x + i));
}
