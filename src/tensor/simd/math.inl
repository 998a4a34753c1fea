// Functions over the vector wrapper of the target that includes this file.

// Loops over rows whose sums stay in registers. The portable set's do not: there GCC takes four times as long for
// unrolled code, which is half as fast.
#undef LANDFALL_UNROLL_ROWS
#if defined(LANDFALL_VECTOR_SCALAR)
#define LANDFALL_UNROLL_ROWS
#else
#define LANDFALL_UNROLL_ROWS LANDFALL_UNROLL
#endif

// acc[n] += products of kLines lines of codes, none above kMost, with the bytes from x[n] + at on: byte 4r+i of line j
// with byte 4j+i. For N rows at once.
#ifndef LANDFALL_OWN_DOT_LINES
template <int kMost, int kLines, int N>
LANDFALL_INLINE void dot_lines(const I32* line, const int8_t* const* x, int at, I32* acc) {
  LANDFALL_UNROLL_ROWS
  for (int j = 0; j < kLines; ++j) {
    LANDFALL_UNROLL_ROWS
    for (int n = 0; n < N; ++n) {
      if constexpr (kMost < 128) {
        acc[n] = dot7(acc[n], line[j], x[n] + at + 4 * j);
      } else {
        acc[n] = dot8(acc[n], line[j], x[n] + at + 4 * j);
      }
    }
  }
}
#endif
#undef LANDFALL_OWN_DOT_LINES

// e^x by range reduction x = n ln 2 + r, |r| <= ln 2 / 2, and a polynomial of degree 6 on r (Cephes expf): about 1 ulp.
// x is clamped to [-87.3, 88.3], where the result is a normal number.
inline F32 exp(F32 x) {
  const F32 clamped = min(max(x, set_f32(-87.3f)), set_f32(88.3f));
  const I32 n = round_to_int(mul(clamped, set_f32(1.44269504f)));
  const F32 nf = to_float(n);
  F32 r = fma(nf, set_f32(-0.693359375f), clamped);
  r = fma(nf, set_f32(2.12194440e-4f), r);
  F32 p = set_f32(1.9875691500e-4f);
  p = fma(p, r, set_f32(1.3981999507e-3f));
  p = fma(p, r, set_f32(8.3334519073e-3f));
  p = fma(p, r, set_f32(4.1665795894e-2f));
  p = fma(p, r, set_f32(1.6666665459e-1f));
  p = fma(p, r, set_f32(5.0000001201e-1f));
  const F32 value = add(fma(mul(p, r), r, r), set_f32(1.0f));
  const F32 scale = as_float(shift_left<23>(add_i32(n, set_i32(127))));
  return mul(value, scale);
}

inline F32 silu(F32 x) { return div(x, add(set_f32(1.0f), exp(sub(zero(), x)))); }

// Dot product of n numbers: lanes run over the elements, two accumulators, one fixed order for a given n.
inline float dot_f32(const float* a, const float* b, int64_t n) {
  F32 even = zero(), odd = zero();
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    even = fma(load_f32(a + i), load_f32(b + i), even);
    odd = fma(load_f32(a + i + 16), load_f32(b + i + 16), odd);
  }
  for (; i < n; i += 16) {
    const int left = static_cast<int>(n - i < 16 ? n - i : 16);
    even = fma(load_partial(a + i, left), load_partial(b + i, left), even);
  }
  return sum(add(even, odd));
}

// n numbers rounded to bf16, to nearest even.
inline void to_bf16(const float* x, int64_t n, uint16_t* y) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store_bf16(y + i, load_f32(x + i));
  for (; i < n; ++i) y[i] = float_to_bf16(x[i]);
}

// The bf16 number nearest to each, to even, as float. A quiet NaN stays one.
inline F32 nearest_bf16(F32 x) {
  const I32 bits = as_bits(x), odd = bit_and(shift_right<16>(bits), set_i32(1));
  return as_float(bit_and(add_i32(bits, add_i32(odd, set_i32(0x7fff))), set_i32(INT32_C(-65536))));
}
inline void round_floats(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; i += 16) {
    const int count = static_cast<int>(n - i < 16 ? n - i : 16);
    store_partial(y + i, nearest_bf16(load_partial(x + i, count)), count);
  }
}
