// Between the two passes of a feed-forward block, compiled per target.

// h[i * h_stride ..] = silu(gate) * up for `rows` rows of 16 outputs, of which `lanes` are kept.
inline void activate(const float* gate, const float* up, int64_t rows, int lanes, float* h, int64_t h_stride) {
  for (int64_t i = 0; i < rows; ++i) {
    const F32 v = mul(silu(load_f32(gate + i * 16)), load_f32(up + i * 16));
    if (lanes == 16) {
      store(h + i * h_stride, v);
    } else {
      store_partial(h + i * h_stride, v, lanes);
    }
  }
}

// y += weight * x for 16 outputs, of which `lanes` are kept; rounded twice, as the sum by smaller operators is.
inline void add_weighted(const float* x, float weight, int lanes, float* y) {
  if (lanes == 16) {
    store(y, add(load_f32(y), mul(load_f32(x), set_f32(weight))));
  } else {
    store_partial(y, add(load_partial(y, lanes), mul(load_f32(x), set_f32(weight))), lanes);
  }
}
