// Activations rounded to what matrix kernels take, compiled per target.

// Blocks are shifted by whole powers of two, so between half and all of their codes is used. How much depends on where
// the row's range lies; this is the factor from 1 to 2 by which it should grow for the least error, the sum over blocks
// of their steps squared. most: the largest magnitude of each block, zeros up to a multiple of 16.
inline float best_stretch(float range, const float* most, int64_t blocks) {
  constexpr int kTries = 8;
  constexpr float kStretch[kTries] = {1.0f,        1.09050773f, 1.18920712f, 1.29683955f,
                                      1.41421356f, 1.54221083f, 1.68179283f, 1.83400809f};  // 2^(i / 8)
  F32 error[kTries];
  for (F32& e : error) e = zero();
  for (int64_t b = 0; b < blocks; b += 16) {
    const F32 m = load_f32(most + b), ratio = div(set_f32(range), max(m, set_f32(range * 0x1p-20f)));
    for (int i = 0; i < kTries; ++i) {
      const I32 mantissa = bit_and(as_bits(mul(ratio, set_f32(kStretch[i]))), set_i32(0x007fffff));
      const F32 step = mul(m, as_float(bit_or(mantissa, set_i32(0x3f800000))));  // of a block, times 127
      error[i] = fma(step, step, error[i]);
    }
  }
  int best = 0;
  float least = sum(error[0]);
  for (int i = 1; i < kTries; ++i) {
    const float e = sum(error[i]);
    if (e < least) least = e, best = i;
  }
  return kStretch[best];
}

inline void quantise_row(const float* x, int64_t in, int64_t columns, CodeBlock* out, float* scale) {
  constexpr int64_t kBlocks = 1024;  // of rows wider than 32,768 only the beginning decides
  const int64_t blocks = columns / 32;
  alignas(64) float most[kBlocks];
  auto block_of = [&](int64_t i, F32& low, F32& high) {
    const int64_t left = in - 32 * i;
    const int n = static_cast<int>(left >= 16 ? 16 : left > 0 ? left : 0);
    const int more = static_cast<int>(left >= 32 ? 16 : left > 16 ? left - 16 : 0);
    low = load_partial(x + 32 * i, n), high = load_partial(x + 32 * i + (n == 16 ? 16 : 0), more);
  };
  auto most_of = [&](F32 low, F32 high) { return largest(max(abs(low), abs(high))); };
  F32 a, b, odd = zero();
  float range = 0;
  const int64_t kept = blocks < kBlocks ? blocks : kBlocks;
  for (int64_t i = 0; i < blocks; ++i) {
    block_of(i, a, b);
    const float m = most_of(a, b);
    if (i < kept) most[i] = m;
    range = m > range ? m : range;
    odd = fma(a, zero(), fma(b, zero(), odd));  // stays zero for numbers
  }
  range += sum(odd);                                             // infinity and NaN are carried on through the scale
  const bool usable = range > 1e-30f && range <= 3.4028234e38f;  // smaller numbers count as nothing
  if (usable && range < 1e38f) {
    for (int64_t i = kept; i % 16 != 0; ++i) most[i] = 0.0f;
    range *= best_stretch(range, most, kept);
  }
  *scale = range * (1.0f / 127.0f) * 0x1p-7f;
  for (int64_t i = 0; i < blocks; ++i, ++out) {
    block_of(i, a, b);
    const float largest_here = i < kept ? most[i] : most_of(a, b);
    // floor(log2(range / largest)): the powers of two by which the block may grow and stay within the row's range.
    int32_t shift = 7;
    if (usable && largest_here > range * 0x1p-7f) {
      const float ratio = range / largest_here;
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
