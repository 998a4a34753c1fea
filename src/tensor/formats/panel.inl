// The matrix kernels over panels, compiled per target. Each output is reduced over the columns in one order, group by
// group, whatever the number of rows that share a tile, so results do not depend on the batch.

#include "tensor/formats/tiles.inl"

// The eight lines of codes of 32 columns: byte 4r+i of line j is the code of row r, column 4j+i.
template <class F>
inline void load_codes(const uint8_t* p, I32* line) {
  using L = PanelLayout<F>;
  if constexpr (F::kBits == 8) {
    for (int j = 0; j < 8; ++j) line[j] = load_i32(p + 64 * j);
  }
  if constexpr (L::kNibbles) {
    const I32 mask = set_i32(0x0f0f0f0f);
    for (int j = 0; j < 4; ++j) {
      const I32 both = load_i32(p + 64 * j);
      line[2 * j] = bit_and(both, mask);
      line[2 * j + 1] = bit_and(shift_right<4>(both), mask);
    }
    if constexpr (kHasTable<F>) {
      for (int j = 0; j < 8; ++j) line[j] = lookup(F::kTable, line[j]);
    }
  }
  if constexpr (L::kCrumbs) {
    const uint8_t* q = p + L::kNibbleBytes;
    const I32 mask = set_i32(L::kCrumbShift == 4 ? 0x30303030 : 0x03030303);
    for (int j = 0; j < 2; ++j) {
      const I32 four = load_i32(q + 64 * j);
      I32 c[4];
      if constexpr (L::kCrumbShift == 4) {
        c[0] = shift_left<4>(four), c[1] = shift_left<2>(four), c[2] = four, c[3] = shift_right<2>(four);
      } else {
        c[0] = four, c[1] = shift_right<2>(four), c[2] = shift_right<4>(four), c[3] = shift_right<6>(four);
      }
      for (int i = 0; i < 4; ++i) {
        const I32 part = bit_and(c[i], mask);
        line[4 * j + i] = L::kNibbles ? bit_or(line[4 * j + i], part) : part;
      }
    }
  }
  if constexpr (L::kSingles) {
    const I32 all = load_i32(p + L::kNibbleBytes + L::kCrumbBytes);
    constexpr int kTo = L::kSingleShift;
    const I32 mask = set_i32(kTo == 4 ? 0x10101010 : 0x04040404);
    auto put = [&](int c, I32 moved) { line[c] = bit_or(line[c], bit_and(moved, mask)); };
    if constexpr (kTo == 4) {
      put(0, shift_left<4>(all)), put(1, shift_left<3>(all)), put(2, shift_left<2>(all)), put(3, shift_left<1>(all));
      put(4, all), put(5, shift_right<1>(all)), put(6, shift_right<2>(all)), put(7, shift_right<3>(all));
    } else {
      put(0, shift_left<2>(all)), put(1, shift_left<1>(all)), put(2, all), put(3, shift_right<1>(all));
      put(4, shift_right<2>(all)), put(5, shift_right<3>(all)), put(6, shift_right<4>(all));
      put(7, shift_right<5>(all));
    }
  }
}

template <class F>
inline constexpr bool kHasOffset = F::kScales == Scales::half_min || F::kScales == Scales::super_min;

// Scale and offset of sub-group g for the 16 rows.
template <class F>
inline void load_scales(const uint8_t* unit, int64_t g, F32& scale, F32& offset) {
  offset = zero();
  const auto* halves = reinterpret_cast<const uint16_t*>(unit);
  if constexpr (F::kScales == Scales::half) {
    scale = load_f16(halves);
  } else if constexpr (F::kScales == Scales::half_min) {
    scale = load_f16(halves);
    offset = load_f16(halves + 16);
  } else if constexpr (F::kScales == Scales::e8m0) {
    // 2^(e-128) as a product of two halves of the exponent: on its own it may be subnormal.
    const I32 e = widen_u8(unit), half = shift_right<1>(e);
    const F32 low = as_float(shift_left<23>(add_i32(half, set_i32(127 - 64))));
    const F32 high = as_float(shift_left<23>(add_i32(sub_i32(e, half), set_i32(127 - 64))));
    scale = mul(low, high);
  } else if constexpr (F::kScales == Scales::super) {
    scale = mul(load_f16(halves), load_i8(reinterpret_cast<const int8_t*>(unit) + 32 + 16 * g));
  } else {
    scale = mul(load_f16(halves), load_u8(unit + 64 + 32 * g));
    offset = sub(zero(), mul(load_f16(halves + 16), load_u8(unit + 64 + 32 * g + 16)));
  }
}

// The sum over 32 columns of bias * activation, as the products start from it: `minus_sum` times a bias that is a power
// of two or the sum of two.
template <int kBias>
inline I32 start_of(int32_t minus_sum) {
  constexpr int kLow = __builtin_ctz(kBias), kRest = kBias & (kBias - 1);
  const I32 sum = set_i32(minus_sum);
  if constexpr (kRest == 0) {
    return shift_left<kLow>(sum);
  } else {
    static_assert((kRest & (kRest - 1)) == 0);
    return add_i32(shift_left<kLow>(sum), shift_left<__builtin_ctz(kRest)>(sum));
  }
}

// The integer as a float, times 2^exponent. A zero becomes 2^(exponent - 127), which is nothing.
inline F32 scaled(I32 v, int32_t exponent) { return as_float(add_i32(as_bits(to_float(v)), set_i32(exponent))); }

// Adds 32 columns of N rows to their sums. line: the codes; scale, minus_offset: of each part of 32 / kParts columns.
template <class F, int N>
LANDFALL_INLINE void add_block(const I32* line, const F32* scale, const F32* minus_offset, const std::byte* const* x,
                               F32* acc) {
  constexpr int kParts = F::kGroup16 ? 2 : 1, kLines = 8 / kParts;
  // Codes of 8 bits: some processors multiply signed bytes better, then the bias is in the bytes.
  constexpr bool kSigned = largest_code<F>() > 127 && kSignedBytes;
  const int8_t* code[N];
  int32_t exponent[N];
  LANDFALL_UNROLL_ROWS
  for (int n = 0; n < N; ++n) {
    code[n] = reinterpret_cast<const int8_t*>(x[n]);
    exponent[n] = read_i32(code[n] + 32);
  }
  LANDFALL_UNROLL_ROWS
  for (int part = 0; part < kParts; ++part) {
    I32 sum[N];
    LANDFALL_UNROLL_ROWS
    for (int n = 0; n < N; ++n) {
      if constexpr (F::kBias == 0 || kSigned) {
        sum[n] = set_i32(0);
      } else {
        sum[n] = start_of<F::kBias>(read_i32(code[n] + 36 + (kParts == 2 ? 4 * part : 8)));
      }
    }
    dot_lines<largest_code<F>(), kLines, N>(line + part * kLines, code, part * 16, sum);
    LANDFALL_UNROLL_ROWS
    for (int n = 0; n < N; ++n) {
      acc[n] = fma(scaled(sum[n], exponent[n]), scale[part], acc[n]);
      if constexpr (kHasOffset<F>) {
        const I32 minus_sum = set_i32(read_i32(code[n] + 36 + (kParts == 2 ? 4 * part : 8)));
        acc[n] = fma(scaled(minus_sum, exponent[n]), minus_offset[part], acc[n]);
      }
    }
  }
}

template <class F, int T>
void int8_tile(const std::byte* panel, const PackedRows& x, int64_t first, float* y, int64_t y_stride) {
  using L = PanelLayout<F>;
  constexpr int kParts = F::kGroup16 ? 2 : 1;
  constexpr bool kSigned = largest_code<F>() > 127 && kSignedBytes;
  static_assert(largest_code<F>() < 128 || F::kBias == 128);
  constexpr int kWhole = T / kTogether * kTogether;
  const std::byte* row[T];
  F32 acc[T];
  LANDFALL_UNROLL_ROWS
  for (int t = 0; t < T; ++t) {
    row[t] = x.data + x.place(first + t) * x.stride;
    acc[t] = zero();
  }
  const auto* unit = reinterpret_cast<const uint8_t*>(panel);
  const int64_t groups = x.columns / 32, panel_bytes = groups / L::kGroups32 * L::kUnitBytes;
  for (int64_t group = 0; group < groups; group += L::kGroups32, unit += L::kUnitBytes) {
    for (int64_t g = 0; g < L::kGroups32; ++g) {
      I32 line[8];
      load_codes<F>(unit + L::kScaleBytes + g * L::kCodeBytes, line);
      if constexpr (kSigned) {
        for (I32& codes : line) codes = bit_xor(codes, set_i32(INT32_C(-0x7f7f7f80)));
      }
      F32 scale[kParts], minus_offset[kParts];
      for (int part = 0; part < kParts; ++part) {
        load_scales<F>(unit, g * kParts + part, scale[part], minus_offset[part]);
        if constexpr (kHasOffset<F>) minus_offset[part] = sub(zero(), minus_offset[part]);
      }
      LANDFALL_UNROLL_ROWS
      for (int t = 0; t < kWhole; t += kTogether) {
        add_block<F, kTogether>(line, scale, minus_offset, row + t, acc + t);
      }
      if constexpr (kWhole < T) add_block<F, T - kWhole>(line, scale, minus_offset, row + kWhole, acc + kWhole);
      LANDFALL_UNROLL_ROWS
      for (int t = 0; t < T; ++t) row[t] += sizeof(CodeBlock);
      // Little by little: all of a unit of 256 columns at once would fill the queue of loads.
      constexpr int64_t kShare = L::kUnitBytes / L::kGroups32;
      if constexpr (T <= 2 && kLookAhead > 0) {
        fetch_ahead<kShare>(unit + g * kShare + kLookAhead);
      } else if constexpr (T > 1) {
        fetch_ahead<kShare>(unit + g * kShare + panel_bytes);
      }
    }
  }
  LANDFALL_UNROLL_ROWS
  for (int t = 0; t < T; ++t) store(y + t * y_stride, mul(acc[t], set_f32(x.scale[x.place(first + t)])));
}

// 32 columns of 16 rows as float: out[c * stride + r].
template <class F>
inline void unpack_group(const uint8_t* unit, int64_t g, float* out, int64_t stride = kPanelRows) {
  using L = PanelLayout<F>;
  I32 line[8];
  load_codes<F>(unit + L::kScaleBytes + g * L::kCodeBytes, line);
  const I32 low_byte = set_i32(255);
  const F32 bias = set_f32(static_cast<float>(F::kBias));
  for (int j = 0; j < 8; ++j) {
    F32 scale, offset;
    load_scales<F>(unit, F::kGroup16 ? 2 * g + j / 4 : g, scale, offset);
    const I32 bytes[4] = {line[j], shift_right<8>(line[j]), shift_right<16>(line[j]), shift_right<24>(line[j])};
    for (int i = 0; i < 4; ++i) {
      const F32 code = sub(to_float(bit_and(bytes[i], low_byte)), bias);
      store(out + (4 * j + i) * stride, add(mul(scale, code), offset));
    }
  }
}

// Unpacked columns [x.columns][16] times rows, added to the sums in y: tensor/unpacked.inl, which no format changes.
void multiply_unpacked(const float* w, const PackedRows& x, int64_t first, int64_t rows, float* y, int64_t y_stride);

template <class F>
void panel_int8(const std::byte* panel, const PackedRows& x, int64_t first, int64_t rows, float* y, int64_t y_stride) {
  LANDFALL_TILES(int8_tile, F, kLargestTile);
}

// Columns are unpacked once for all rows, as many at a time as stay in the first-level cache.
template <class F>
void panel_f32(const std::byte* panel, const PackedRows& x, int64_t first, int64_t rows, float* y, int64_t y_stride) {
  using L = PanelLayout<F>;
  constexpr int64_t kColumns = 256;
  static_assert(kColumns % F::kBlock == 0);
  alignas(64) float w[kColumns * 16];
  for (int64_t t = 0; t < rows; ++t) store(y + t * y_stride, zero());
  const auto* unit = reinterpret_cast<const uint8_t*>(panel);
  PackedRows part = x;
  for (int64_t left = x.columns; left > 0; left -= kColumns, part.data += kColumns * 4) {
    part.columns = left < kColumns ? left : kColumns;
    for (int64_t c = 0; c < part.columns; c += F::kBlock, unit += L::kUnitBytes) {
      for (int64_t g = 0; g < L::kGroups32; ++g) unpack_group<F>(unit, g, w + (c + 32 * g) * 16);
    }
    multiply_unpacked(w, part, first, rows, y, y_stride);
  }
}

template <class F>
void panel_scale_rows(const std::byte* panel, int64_t columns, const float* x, float* acc) {
  using L = PanelLayout<F>;
  const F32 rows = load_f32(x);
  const auto* unit = reinterpret_cast<const uint8_t*>(panel);
  alignas(64) float w[32 * 16];
  for (int64_t column = 0; column < columns; column += F::kBlock, unit += L::kUnitBytes) {
    for (int64_t g = 0; g < L::kGroups32; ++g) {
      unpack_group<F>(unit, g, w);
      for (int c = 0; c < 32; ++c, acc += 16) store(acc, fma(load_f32(w + c * 16), rows, load_f32(acc)));
    }
  }
}

template <class F>
void panel_columns(const std::byte* panel, int64_t columns, float* out, int64_t stride) {
  using L = PanelLayout<F>;
  const auto* unit = reinterpret_cast<const uint8_t*>(panel);
  for (int64_t column = 0; column < columns; column += F::kBlock, unit += L::kUnitBytes) {
    for (int64_t g = 0; g < L::kGroups32; ++g, out += 32 * stride) unpack_group<F>(unit, g, out, stride);
  }
}
