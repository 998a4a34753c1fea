// Activations rounded to what matrix kernels take, compiled per target.

// The largest magnitude of a row. A row with infinity or NaN gives that, and so carries it on through its scale.
inline float row_range(const float* x, int64_t n) {
  F32 most = zero(), odd = zero();
  for (int64_t i = 0; i < n; i += 16) {
    const F32 v = load_partial(x + i, static_cast<int>(n - i < 16 ? n - i : 16));
    most = max(most, abs(v));
    odd = fma(v, zero(), odd);  // stays zero for numbers
  }
  return largest(most) + sum(odd);
}

inline void quantise_row(const float* x, int64_t in, int64_t columns, CodeBlock* out, float* scale) {
  const float range = row_range(x, in);
  *scale = range * (1.0f / 127.0f) * 0x1p-7f;
  const bool usable = range > 1e-30f && range <= 3.4028234e38f;  // smaller numbers count as nothing
  for (int64_t first = 0; first < columns; first += 32, ++out) {
    const int64_t left = in - first;
    const int low = static_cast<int>(left >= 16 ? 16 : left > 0 ? left : 0);
    const int high = static_cast<int>(left >= 32 ? 16 : left > 16 ? left - 16 : 0);
    const F32 a = load_partial(x + first, low), b = load_partial(x + first + (low == 16 ? 16 : 0), high);
    const float most = largest(max(abs(a), abs(b)));
    // floor(log2(range / most)): the powers of two by which the block may grow and stay within the row's range.
    int32_t shift = 7;
    if (usable && most > range * 0x1p-7f) {
      const float ratio = range / most;
      std::memcpy(&shift, &ratio, 4);
      shift = (shift >> 23) - 127;
    }
    const F32 inverse = set_f32(usable ? 127.0f / range * static_cast<float>(1 << shift) : 0.0f);
    // Kept in range: -128 must not appear, the byte products of some kernel sets are made for -127..127.
    const I32 ca = clamp_i32(round_to_int(mul(a, inverse)), -127, 127);
    const I32 cb = clamp_i32(round_to_int(mul(b, inverse)), -127, 127);
    store_i8(out->code, ca);
    store_i8(out->code + 16, cb);
    const int32_t sum_low = sum_i32(ca), sum_high = sum_i32(cb);
    out->exponent = (7 - shift) << 23;
    out->minus_sum[0] = -sum_low;
    out->minus_sum[1] = -sum_high;
    out->minus_sum[2] = -(sum_low + sum_high);
  }
}

// Rows to bf16, to nearest even, padded with zeros.
inline void round_row(const float* x, int64_t in, int64_t columns, uint16_t* out) {
  to_bf16(x, in, out);
  std::memset(out + in, 0, static_cast<size_t>(columns - in) * 2);
}
