// The vector wrapper for AVX2 with FMA and F16C: two registers of eight lanes; see vector_scalar.inl for the names.

struct I32 {
  __m256i lo, hi;
};
struct F32 {
  __m256 lo, hi;
};

inline constexpr int kTile = 8, kFloatTile = 5, kTogether = 4;
inline constexpr int64_t kLookAhead = 1024;
inline I32 load_i32(const void* p) {
  const auto* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline I32 set_i32(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline I32 bit_and(I32 a, I32 b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
inline I32 bit_or(I32 a, I32 b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
inline I32 bit_xor(I32 a, I32 b) { return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)}; }
template <int n>
inline I32 shift_right(I32 a) {
  return {_mm256_srli_epi32(a.lo, n), _mm256_srli_epi32(a.hi, n)};
}
template <int n>
inline I32 shift_left(I32 a) {
  return {_mm256_slli_epi32(a.lo, n), _mm256_slli_epi32(a.hi, n)};
}
// maddubs multiplies unsigned with signed bytes and adds pairs in 16 bits, saturating: below 128 nothing saturates
// (2 * 127 * 128 = 32512).
inline __m256i dot7_half(__m256i acc, __m256i w, __m256i x) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1)));
}
inline I32 dot7(I32 acc, I32 w, const int8_t* x) {
  const __m256i four = _mm256_set1_epi32(read_i32(x));
  return {dot7_half(acc.lo, w.lo, four), dot7_half(acc.hi, w.hi, four)};
}
// The sign of w moves over to x, which is therefore not -128: then 2 * 128 * 127 = 32512 is the largest sum.
inline constexpr bool kSignedBytes = true;
inline __m256i dot8_half(__m256i acc, __m256i w, __m256i x) {
  return dot7_half(acc, _mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}
inline I32 dot8(I32 acc, I32 w, const int8_t* x) {
  const __m256i four = _mm256_set1_epi32(read_i32(x));
  return {dot8_half(acc.lo, w.lo, four), dot8_half(acc.hi, w.hi, four)};
}
// Holds the compiler to the order of the source: a row's next bytes are not read before its sums are up to date. Left
// alone it computes all products first, and with 16 registers keeps them in memory.
LANDFALL_INLINE void in_order(const int8_t*& x, I32& sum) { asm("" : "+r"(x), "+x"(sum.lo), "+x"(sum.hi)); }

// Products of bytes below 128 fit into 16 bits, of small ones several sums do: they are widened once for all of them.
#define LANDFALL_OWN_DOT_LINES
template <int kMost, int kLines, int N>
LANDFALL_INLINE void dot_lines(const I32* line, const int8_t* const* rows, int at, I32* acc) {
  const int8_t* x[N];
  LANDFALL_UNROLL
  for (int n = 0; n < N; ++n) x[n] = rows[n];
  if constexpr (kMost < 128) {
    constexpr int kRoom = 32767 / (2 * 127 * kMost);
    constexpr int kFit = kRoom >= kLines ? kLines : kRoom >= 4 ? 4 : kRoom >= 2 ? 2 : 1;
    const __m256i ones = _mm256_set1_epi16(1);
    LANDFALL_UNROLL
    for (int first = 0; first < kLines; first += kFit) {
      I32 sum[N];
      LANDFALL_UNROLL
      for (int j = 0; j < kFit; ++j) {
        LANDFALL_UNROLL
        for (int n = 0; n < N; ++n) {
          const __m256i four = _mm256_set1_epi32(read_i32(x[n] + at + 4 * (first + j)));
          const __m256i lo = _mm256_maddubs_epi16(line[first + j].lo, four);
          const __m256i hi = _mm256_maddubs_epi16(line[first + j].hi, four);
          sum[n] = j == 0 ? I32{lo, hi} : I32{_mm256_add_epi16(sum[n].lo, lo), _mm256_add_epi16(sum[n].hi, hi)};
          in_order(x[n], sum[n]);
        }
      }
      LANDFALL_UNROLL
      for (int n = 0; n < N; ++n) {
        acc[n].lo = _mm256_add_epi32(acc[n].lo, _mm256_madd_epi16(sum[n].lo, ones));
        acc[n].hi = _mm256_add_epi32(acc[n].hi, _mm256_madd_epi16(sum[n].hi, ones));
      }
    }
  } else {
    LANDFALL_UNROLL
    for (int j = 0; j < kLines; ++j) {
      LANDFALL_UNROLL
      for (int n = 0; n < N; ++n) {
        acc[n] = dot8(acc[n], line[j], x[n] + at + 4 * j);
        in_order(x[n], acc[n]);
      }
    }
  }
}
inline I32 lookup(const uint8_t* table, I32 codes) {
  const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm256_shuffle_epi8(t, codes.lo), _mm256_shuffle_epi8(t, codes.hi)};
}
inline F32 to_float(I32 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
inline I32 round_to_int(F32 a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
inline void store_i8(int8_t* p, I32 a) {
  // packs works within 128-bit halves: the permutation puts the four quarters back in order
  const __m256i halves = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
inline int32_t sum_i32(I32 a) {
  const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}
inline I32 clamp_i32(I32 a, int32_t low, int32_t high) {
  const __m256i l = _mm256_set1_epi32(low), h = _mm256_set1_epi32(high);
  return {_mm256_min_epi32(_mm256_max_epi32(a.lo, l), h), _mm256_min_epi32(_mm256_max_epi32(a.hi, l), h)};
}
inline F32 as_float(I32 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
inline I32 as_bits(F32 a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
inline I32 add_i32(I32 a, I32 b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
inline I32 sub_i32(I32 a, I32 b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }

inline F32 load_f32(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, F32 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
inline F32 load_partial(const float* p, int n) {
  if (n == 16) return load_f32(p);
  float full[16] = {};
  std::memcpy(full, p, static_cast<size_t>(n) * 4);
  return load_f32(full);
}
inline void store_partial(float* p, F32 a, int n) {
  if (n == 16) return store(p, a);
  float full[16];
  store(full, a);
  std::memcpy(p, full, static_cast<size_t>(n) * 4);
}
inline F32 set_f32(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline F32 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F32 add(F32 a, F32 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F32 div(F32 a, F32 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
inline F32 abs(F32 a) {
  const __m256 mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  return {_mm256_and_ps(a.lo, mask), _mm256_and_ps(a.hi, mask)};
}
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
inline F32 load_f16(const uint16_t* p) {
  const auto* q = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
inline __m256 widen_bf16(__m128i eight) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16));
}
inline F32 load_bf16(const uint16_t* p) {
  const auto* q = reinterpret_cast<const __m128i*>(p);
  return {widen_bf16(_mm_loadu_si128(q)), widen_bf16(_mm_loadu_si128(q + 1))};
}
inline void store_bf16(uint16_t* p, F32 a) {  // round to nearest even
  float full[16];
  store(full, a);
  for (int i = 0; i < 16; ++i) p[i] = float_to_bf16(full[i]);
}
inline F32 load_i8(const int8_t* p) {
  const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(all)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(all, 8)))};
}
inline I32 widen_u8(const uint8_t* p) {
  const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepu8_epi32(all), _mm256_cvtepu8_epi32(_mm_srli_si128(all, 8))};
}
inline F32 load_u8(const uint8_t* p) { return to_float(widen_u8(p)); }
inline F32 load_e4m3(const uint8_t* p) {
  const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x80)), 8);
  const __m256i rest = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x7f)), 7);
  const __m256i halves = _mm256_or_si256(sign, rest);
  const __m256 scale = _mm256_set1_ps(256.0f);
  return {_mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), scale),
          _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)), scale)};
}
inline float sum(F32 a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float largest(F32 a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
