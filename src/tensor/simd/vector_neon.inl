// The vector wrapper for Armv8.2 NEON with dot product: four registers of four lanes; see vector_scalar.inl.

struct I32 {
  uint32x4_t v[4];
};
struct F32 {
  float32x4_t v[4];
};

#define LANDFALL_LANES(expression)                     \
  for (int i = 0; i < 4; ++i) out.v[i] = (expression); \
  return out

inline constexpr int kTile = 4, kFloatTile = 4, kTogether = 4;
inline constexpr int64_t kLookAhead = 0;
inline I32 load_i32(const void* p) {
  I32 out;
  LANDFALL_LANES(vreinterpretq_u32_u8(vld1q_u8(static_cast<const uint8_t*>(p) + 16 * i)));
}
inline I32 set_i32(int32_t x) {
  I32 out;
  LANDFALL_LANES(vdupq_n_u32(static_cast<uint32_t>(x)));
}
inline I32 bit_and(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(vandq_u32(a.v[i], b.v[i]));
}
inline I32 bit_or(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(vorrq_u32(a.v[i], b.v[i]));
}
inline I32 bit_xor(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(veorq_u32(a.v[i], b.v[i]));
}
template <int n>
inline I32 shift_right(I32 a) {
  I32 out;
  LANDFALL_LANES(vshrq_n_u32(a.v[i], n));
}
template <int n>
inline I32 shift_left(I32 a) {
  I32 out;
  LANDFALL_LANES(vshlq_n_u32(a.v[i], n));
}
// There is no unsigned by signed dot before Armv8.6; bytes below 128 are the same number signed.
inline constexpr bool kSignedBytes = true;
inline I32 dot8(I32 acc, I32 w, const int8_t* x) {
  const int8x16_t four = vreinterpretq_s8_s32(vdupq_n_s32(read_i32(x)));
  I32 out;
  LANDFALL_LANES(vreinterpretq_u32_s32(vdotq_s32(vreinterpretq_s32_u32(acc.v[i]), vreinterpretq_s8_u32(w.v[i]), four)));
}
inline I32 dot7(I32 acc, I32 w, const int8_t* x) { return dot8(acc, w, x); }
inline I32 lookup(const uint8_t* table, I32 codes) {
  const uint8x16_t t = vld1q_u8(table);
  I32 out;
  LANDFALL_LANES(vreinterpretq_u32_u8(vqtbl1q_u8(t, vreinterpretq_u8_u32(codes.v[i]))));
}
inline F32 to_float(I32 a) {
  F32 out;
  LANDFALL_LANES(vcvtq_f32_s32(vreinterpretq_s32_u32(a.v[i])));
}
inline I32 round_to_int(F32 a) {
  I32 out;
  LANDFALL_LANES(vreinterpretq_u32_s32(vcvtnq_s32_f32(a.v[i])));
}
inline void store_i8(int8_t* p, I32 a) {
  int16x4_t half[4];
  for (int i = 0; i < 4; ++i) half[i] = vqmovn_s32(vreinterpretq_s32_u32(a.v[i]));
  vst1q_s8(p, vcombine_s8(vqmovn_s16(vcombine_s16(half[0], half[1])), vqmovn_s16(vcombine_s16(half[2], half[3]))));
}
inline int32_t sum_i32(I32 a) {
  int32_t out = 0;
  for (int i = 0; i < 4; ++i) out += vaddvq_s32(vreinterpretq_s32_u32(a.v[i]));
  return out;
}
inline I32 clamp_i32(I32 a, int32_t low, int32_t high) {
  I32 out;
  for (int i = 0; i < 4; ++i) {
    const int32x4_t v = vreinterpretq_s32_u32(a.v[i]);
    out.v[i] = vreinterpretq_u32_s32(vminq_s32(vmaxq_s32(v, vdupq_n_s32(low)), vdupq_n_s32(high)));
  }
  return out;
}
inline F32 as_float(I32 a) {
  F32 out;
  LANDFALL_LANES(vreinterpretq_f32_u32(a.v[i]));
}
inline I32 as_bits(F32 a) {
  I32 out;
  LANDFALL_LANES(vreinterpretq_u32_f32(a.v[i]));
}
inline I32 add_i32(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(vaddq_u32(a.v[i], b.v[i]));
}
inline I32 sub_i32(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(vsubq_u32(a.v[i], b.v[i]));
}

inline F32 load_f32(const float* p) {
  F32 out;
  LANDFALL_LANES(vld1q_f32(p + 4 * i));
}
inline void store(float* p, F32 a) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
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
inline F32 set_f32(float x) {
  F32 out;
  LANDFALL_LANES(vdupq_n_f32(x));
}
inline F32 zero() { return set_f32(0.0f); }
inline F32 add(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(vaddq_f32(a.v[i], b.v[i]));
}
inline F32 sub(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(vsubq_f32(a.v[i], b.v[i]));
}
inline F32 mul(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(vmulq_f32(a.v[i], b.v[i]));
}
inline F32 div(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(vdivq_f32(a.v[i], b.v[i]));
}
inline F32 max(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(vmaxq_f32(a.v[i], b.v[i]));
}
inline F32 min(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(vminq_f32(a.v[i], b.v[i]));
}
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {
  F32 out;
  LANDFALL_LANES(vbslq_f32(vcltq_f32(a.v[i], b.v[i]), x.v[i], y.v[i]));
}
inline F32 abs(F32 a) {
  F32 out;
  LANDFALL_LANES(vabsq_f32(a.v[i]));
}
inline F32 fma(F32 a, F32 b, F32 c) {
  F32 out;
  LANDFALL_LANES(vfmaq_f32(c.v[i], a.v[i], b.v[i]));
}
inline F32 load_f16(const uint16_t* p) {
  F32 out;
  LANDFALL_LANES(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
inline F32 load_bf16(const uint16_t* p) {
  F32 out;
  LANDFALL_LANES(vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}
inline void store_bf16(uint16_t* p, F32 a) {  // round to nearest even
  float full[16];
  store(full, a);
  for (int i = 0; i < 16; ++i) p[i] = float_to_bf16(full[i]);
}
inline F32 load_i8(const int8_t* p) {
  F32 out;
  const int8x16_t all = vld1q_s8(p);
  const int16x8_t a = vmovl_s8(vget_low_s8(all)), b = vmovl_s8(vget_high_s8(all));
  out.v[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(a)));
  out.v[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(a)));
  out.v[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(b)));
  out.v[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(b)));
  return out;
}
inline I32 widen_u8(const uint8_t* p) {
  I32 out;
  const uint8x16_t all = vld1q_u8(p);
  const uint16x8_t a = vmovl_u8(vget_low_u8(all)), b = vmovl_u8(vget_high_u8(all));
  out.v[0] = vmovl_u16(vget_low_u16(a));
  out.v[1] = vmovl_u16(vget_high_u16(a));
  out.v[2] = vmovl_u16(vget_low_u16(b));
  out.v[3] = vmovl_u16(vget_high_u16(b));
  return out;
}
inline F32 load_u8(const uint8_t* p) { return to_float(widen_u8(p)); }
inline F32 load_e4m3(const uint8_t* p) {
  uint16_t halves[16];
  for (int i = 0; i < 16; ++i) halves[i] = static_cast<uint16_t>((p[i] & 0x80) << 8 | (p[i] & 0x7f) << 7);
  return mul(load_f16(halves), set_f32(256.0f));
}
inline float sum(F32 a) {
  const float32x4_t low = vaddq_f32(a.v[0], a.v[2]), high = vaddq_f32(a.v[1], a.v[3]);
  const float32x4_t four = vaddq_f32(low, high);
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float largest(F32 a) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.v[0], a.v[1]), vmaxq_f32(a.v[2], a.v[3]))); }
#undef LANDFALL_LANES
