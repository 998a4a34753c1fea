// The vector wrapper for AVX-512; see vector_scalar.inl for the meaning of each name.

struct I32 {
  __m512i v;
};
struct F32 {
  __m512 v;
};

inline constexpr int kTile = 12, kFloatTile = 12, kTogether = 4;
inline constexpr int64_t kLookAhead = 0;
inline I32 load_i32(const void* p) { return {_mm512_loadu_si512(p)}; }
inline I32 set_i32(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline I32 bit_and(I32 a, I32 b) { return {_mm512_and_si512(a.v, b.v)}; }
inline I32 bit_or(I32 a, I32 b) { return {_mm512_or_si512(a.v, b.v)}; }
inline I32 bit_xor(I32 a, I32 b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int n>
inline I32 shift_right(I32 a) {
  return {_mm512_srli_epi32(a.v, n)};
}
template <int n>
inline I32 shift_left(I32 a) {
  return {_mm512_slli_epi32(a.v, n)};
}
inline constexpr bool kSignedBytes = false;
inline I32 dot8(I32 acc, I32 w, const int8_t* x) {
  return {_mm512_dpbusd_epi32(acc.v, w.v, _mm512_set1_epi32(read_i32(x)))};
}
inline I32 dot7(I32 acc, I32 w, const int8_t* x) { return dot8(acc, w, x); }
#define LANDFALL_HAS_BF16_DOT
inline F32 dot_bf16(F32 acc, I32 a, I32 b) {
  return {_mm512_dpbf16_ps(acc.v, reinterpret_cast<__m512bh>(a.v), reinterpret_cast<__m512bh>(b.v))};
}
inline I32 bf16_pairs(F32 even, F32 odd) {
  const __m512i low = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(even.v)));
  const __m512i high = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(odd.v)));
  return {_mm512_or_si512(low, _mm512_slli_epi32(high, 16))};
}
// Of each eight columns the first four stand in the low half.
inline I32 interleave_low_16(I32 a, I32 b) { return {_mm512_unpacklo_epi16(a.v, b.v)}; }
inline I32 interleave_high_16(I32 a, I32 b) { return {_mm512_unpackhi_epi16(a.v, b.v)}; }
inline void columns_in_order(F32 low, F32 high, F32& first, F32& second) {
  const __m512i f = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const __m512i s = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  first.v = _mm512_permutex2var_ps(low.v, f, high.v);
  second.v = _mm512_permutex2var_ps(low.v, s, high.v);
}
inline void store_i32(void* p, I32 a) { _mm512_storeu_si512(p, a.v); }
inline I32 lookup(const uint8_t* table, I32 codes) {
  const __m512i t = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm512_shuffle_epi8(t, codes.v)};
}
inline F32 to_float(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline I32 round_to_int(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
inline void store_i8(int8_t* p, I32 a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(a.v)); }
inline int32_t sum_i32(I32 a) { return _mm512_reduce_add_epi32(a.v); }
inline I32 clamp_i32(I32 a, int32_t low, int32_t high) {
  return {_mm512_min_epi32(_mm512_max_epi32(a.v, _mm512_set1_epi32(low)), _mm512_set1_epi32(high))};
}
inline F32 as_float(I32 a) { return {_mm512_castsi512_ps(a.v)}; }
inline I32 as_bits(F32 a) { return {_mm512_castps_si512(a.v)}; }
inline I32 add_i32(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I32 sub_i32(I32 a, I32 b) { return {_mm512_sub_epi32(a.v, b.v)}; }

inline F32 load_f32(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
inline __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1); }
inline F32 load_partial(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
inline void store_partial(float* p, F32 a, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
inline F32 set_f32(float x) { return {_mm512_set1_ps(x)}; }
inline F32 zero() { return {_mm512_setzero_ps()}; }
inline F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
inline F32 abs(F32 a) { return {_mm512_abs_ps(a.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline F32 load_bf16(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
inline void store_bf16(uint16_t* p, F32 a) {  // round to nearest even
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a.v)));
}
inline F32 load_i8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline I32 widen_u8(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline F32 load_u8(const uint8_t* p) { return to_float(widen_u8(p)); }
inline F32 load_e4m3(const uint8_t* p) {
  const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x80)), 8);
  const __m256i rest = _mm256_slli_epi16(_mm256_and_si256(wide, _mm256_set1_epi16(0x7f)), 7);
  return {_mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(sign, rest)), _mm512_set1_ps(256.0f))};
}
inline float sum(F32 a) {
  const __m256 low = _mm512_castps512_ps256(a.v);
  const __m256 high = _mm512_extractf32x8_ps(a.v, 1);
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
inline float largest(F32 a) { return _mm512_reduce_max_ps(a.v); }
