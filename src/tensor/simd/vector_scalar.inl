// The vector wrapper in portable C++: 16 lanes of 32 bits. The other vector_*.inl files define the same names.
// I32: 16 int32, also seen as 64 bytes (lane r holds bytes 4r .. 4r+3, the lowest first). F32: 16 floats.

struct I32 {
  uint32_t v[16];
};
struct F32 {
  float v[16];
};

#define LANDFALL_LANES(expression)                      \
  for (int i = 0; i < 16; ++i) out.v[i] = (expression); \
  return out

// Rows of activations that a matrix kernel takes together at most, and how many of them are interleaved.
inline constexpr int kTile = 4, kFloatTile = 4, kTogether = 4;
// How far ahead of a row or two weights are asked for, in bytes; 0: the processor's own look-ahead does better.
inline constexpr int64_t kLookAhead = 0;
inline I32 load_i32(const void* p) {
  I32 out;
  std::memcpy(out.v, p, 64);
  return out;
}
inline I32 set_i32(int32_t x) {
  I32 out;
  LANDFALL_LANES(static_cast<uint32_t>(x));
}
inline I32 bit_and(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(a.v[i] & b.v[i]);
}
inline I32 bit_or(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(a.v[i] | b.v[i]);
}
inline I32 bit_xor(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(a.v[i] ^ b.v[i]);
}
template <int n>
inline I32 shift_right(I32 a) {
  I32 out;
  LANDFALL_LANES(a.v[i] >> n);
}
template <int n>
inline I32 shift_left(I32 a) {
  I32 out;
  LANDFALL_LANES(a.v[i] << n);
}
// acc + the four products of bytes of w, below 128, with the four signed bytes at x, per lane
inline I32 dot7(I32 acc, I32 w, const int8_t* x) {
  I32 out;
  for (int i = 0; i < 16; ++i) {
    int32_t sum = static_cast<int32_t>(acc.v[i]);
    for (int b = 0; b < 4; ++b) {
      sum += static_cast<int32_t>((w.v[i] >> (8 * b)) & 255) * x[b];
    }
    out.v[i] = static_cast<uint32_t>(sum);
  }
  return out;
}
// The same for all bytes of w, which are signed where kSignedBytes, else unsigned: what the processor does best. No
// byte at x is -128.
inline constexpr bool kSignedBytes = false;
inline I32 dot8(I32 acc, I32 w, const int8_t* x) { return dot7(acc, w, x); }
// acc + the products of two bf16 numbers a lane, as some processors multiply them. Those count subnormal numbers as
// zero.
#define LANDFALL_HAS_BF16_DOT
inline F32 dot_bf16(F32 acc, I32 a, I32 b) {
  F32 out;
  for (int i = 0; i < 16; ++i) {
    const float odd =
        bf16_to_float(static_cast<uint16_t>(a.v[i] >> 16)) * bf16_to_float(static_cast<uint16_t>(b.v[i] >> 16));
    const float even = bf16_to_float(static_cast<uint16_t>(a.v[i])) * bf16_to_float(static_cast<uint16_t>(b.v[i]));
    out.v[i] = acc.v[i] + odd + even;
  }
  return out;
}
// Two floats a lane as bf16, rounded to nearest even: `even` in the lower half.
inline I32 bf16_pairs(F32 even, F32 odd) {
  I32 out;
  LANDFALL_LANES(float_to_bf16(even.v[i]) | static_cast<uint32_t>(float_to_bf16(odd.v[i])) << 16);
}
// Columns of two rows of 32 bf16 numbers paired, in two halves. columns_in_order() undoes the order of columns that a
// processor may leave behind.
inline uint32_t half_word(I32 a, int i) { return a.v[i / 2] >> (i % 2 * 16) & 0xffff; }
inline I32 interleave_low_16(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(half_word(a, i) | half_word(b, i) << 16);
}
inline I32 interleave_high_16(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(half_word(a, 16 + i) | half_word(b, 16 + i) << 16);
}
inline void columns_in_order(F32 low, F32 high, F32& first, F32& second) { first = low, second = high; }
inline void store_i32(void* p, I32 a) { std::memcpy(p, a.v, 64); }
// table[16] of unsigned bytes looked up by every byte of codes (each below 16)
inline I32 lookup(const uint8_t* table, I32 codes) {
  I32 out;
  for (int i = 0; i < 16; ++i) {
    uint32_t word = 0;
    for (int b = 0; b < 4; ++b) word |= uint32_t{table[(codes.v[i] >> (8 * b)) & 15]} << (8 * b);
    out.v[i] = word;
  }
  return out;
}
inline F32 to_float(I32 a) {
  F32 out;
  LANDFALL_LANES(static_cast<float>(static_cast<int32_t>(a.v[i])));
}
inline I32 round_to_int(F32 a) {  // to nearest even
  I32 out;
  LANDFALL_LANES(static_cast<uint32_t>(static_cast<int32_t>(__builtin_rintf(a.v[i]))));
}
// The lanes, all of which fit, as signed bytes.
inline void store_i8(int8_t* p, I32 a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
}
inline int32_t sum_i32(I32 a) {
  int32_t out = 0;
  for (int i = 0; i < 16; ++i) out += static_cast<int32_t>(a.v[i]);
  return out;
}
inline I32 clamp_i32(I32 a, int32_t low, int32_t high) {
  I32 out;
  for (int i = 0; i < 16; ++i) {
    const auto v = static_cast<int32_t>(a.v[i]);
    out.v[i] = static_cast<uint32_t>(v < low ? low : v > high ? high : v);
  }
  return out;
}
inline F32 as_float(I32 a) {
  F32 out;
  std::memcpy(out.v, a.v, 64);
  return out;
}
inline I32 as_bits(F32 a) {
  I32 out;
  std::memcpy(out.v, a.v, 64);
  return out;
}
inline I32 add_i32(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(a.v[i] + b.v[i]);
}
inline I32 sub_i32(I32 a, I32 b) {
  I32 out;
  LANDFALL_LANES(a.v[i] - b.v[i]);
}

inline F32 load_f32(const float* p) {
  F32 out;
  std::memcpy(out.v, p, 64);
  return out;
}
inline void store(float* p, F32 a) { std::memcpy(p, a.v, 64); }
inline F32 load_partial(const float* p, int n) {
  F32 out;
  LANDFALL_LANES(i < n ? p[i] : 0.0f);
}
inline void store_partial(float* p, F32 a, int n) { std::memcpy(p, a.v, static_cast<size_t>(n) * 4); }
inline F32 set_f32(float x) {
  F32 out;
  LANDFALL_LANES(x);
}
inline F32 zero() { return set_f32(0.0f); }
inline F32 add(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(a.v[i] + b.v[i]);
}
inline F32 sub(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(a.v[i] - b.v[i]);
}
inline F32 mul(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(a.v[i] * b.v[i]);
}
inline F32 div(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(a.v[i] / b.v[i]);
}
inline F32 max(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}
inline F32 min(F32 a, F32 b) {
  F32 out;
  LANDFALL_LANES(a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
}
inline F32 select_less(F32 a, F32 b, F32 x, F32 y) {  // a < b ? x : y
  F32 out;
  LANDFALL_LANES(a.v[i] < b.v[i] ? x.v[i] : y.v[i]);
}
inline F32 abs(F32 a) {
  F32 out;
  LANDFALL_LANES(__builtin_fabsf(a.v[i]));
}
// a * b + c; not fused here: portable machines without FMA would call a library function for each
inline F32 fma(F32 a, F32 b, F32 c) {
  F32 out;
  LANDFALL_LANES(a.v[i] * b.v[i] + c.v[i]);
}
inline F32 load_f16(const uint16_t* p) {
  F32 out;
  LANDFALL_LANES(half_to_float(p[i]));
}
inline F32 load_bf16(const uint16_t* p) {
  F32 out;
  LANDFALL_LANES(bf16_to_float(p[i]));
}
inline void store_bf16(uint16_t* p, F32 a) {  // round to nearest even
  float full[16];
  store(full, a);
  for (int i = 0; i < 16; ++i) p[i] = float_to_bf16(full[i]);
}
inline F32 load_i8(const int8_t* p) {
  F32 out;
  LANDFALL_LANES(static_cast<float>(p[i]));
}
inline I32 widen_u8(const uint8_t* p) {
  I32 out;
  LANDFALL_LANES(p[i]);
}
inline F32 load_u8(const uint8_t* p) { return to_float(widen_u8(p)); }
// e4m3fn: the code moved into half precision is the value times 2^-8, subnormals included
inline F32 load_e4m3(const uint8_t* p) {
  F32 out;
  LANDFALL_LANES(half_to_float(static_cast<uint16_t>((p[i] & 0x80) << 8 | (p[i] & 0x7f) << 7)) * 256.0f);
}
// Fixed pairwise order: lanes i and i+8, then +4, +2, +1. Every wrapper adds in this order.
inline float sum(F32 a) {
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
  }
  return a.v[0];
}
inline float largest(F32 a) {
  float out = a.v[0];
  for (int i = 1; i < 16; ++i) out = a.v[i] > out ? a.v[i] : out;
  return out;
}
#undef LANDFALL_LANES
