// The matrix kernel over panels of floating-point formats, compiled per target. One order over the columns for every
// number of rows, so results do not depend on the batch.

#include "tensor/formats/tiles.inl"

// Columns c and c + 1 of 16 rows as float.
template <class F>
inline void load_columns(const typename F::Stored* p, F32& first, F32& second) {
  if constexpr (F::kNumber == Number::f32) {
    first = load_f32(p), second = load_f32(p + 16);
  } else if constexpr (F::kNumber == Number::f16) {
    first = load_f16(p), second = load_f16(p + 16);
  } else if constexpr (F::kNumber == Number::bf16) {
    const I32 pairs = load_i32(p);
    first = as_float(shift_left<16>(pairs)), second = as_float(bit_and(pairs, set_i32(INT32_C(-65536))));
  } else {
    first = load_e4m3(p), second = load_e4m3(p + 16);
  }
}

template <class F, int T>
void float_tile(const std::byte* panel, const PackedRows& x, int64_t first, float* y, int64_t y_stride) {
  using P = FloatPanel<F>;
  const float* row[T];
  F32 acc[T];
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) {
    row[t] = reinterpret_cast<const float*>(x.data + x.place(first + t) * x.stride);
    acc[t] = zero();
  }
  for (int64_t column = 0; column < x.columns; column += P::kUnit, panel += P::kUnitBytes) {
    F32 scale = set_f32(1.0f);
    if constexpr (F::kScaled) scale = load_f32(reinterpret_cast<const float*>(panel));
    const auto* w = reinterpret_cast<const typename F::Stored*>(panel + P::kScaleBytes);
    for (int64_t c = 0; c < P::kUnit; c += 2, w += 2 * kPanelRows) {
      F32 even, odd;
      load_columns<F>(w, even, odd);
      if constexpr (F::kScaled) even = mul(even, scale), odd = mul(odd, scale);
      LANDFALL_UNROLL
      for (int t = 0; t < T; ++t) {
        acc[t] = fma(even, set_f32(row[t][column + c]), acc[t]);
        acc[t] = fma(odd, set_f32(row[t][column + c + 1]), acc[t]);
      }
    }
  }
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) store(y + t * y_stride, acc[t]);
}

template <class F>
void float_panel(const std::byte* panel, const PackedRows& x, int64_t first, int64_t rows, float* y, int64_t y_stride) {
  // Eight-bit floats cost so much to unpack that larger tiles pay, with sums in memory.
  LANDFALL_TILES(float_tile, F, F::kScaled ? kLargestTile : kLargestFloatTile);
}

template <class F>
void float_scale_rows(const std::byte* panel, int64_t columns, const float* x, float* acc) {
  using P = FloatPanel<F>;
  const F32 rows = load_f32(x);
  for (int64_t column = 0; column < columns; column += P::kUnit, panel += P::kUnitBytes) {
    F32 scale = set_f32(1.0f);
    if constexpr (F::kScaled) scale = load_f32(reinterpret_cast<const float*>(panel));
    const auto* w = reinterpret_cast<const typename F::Stored*>(panel + P::kScaleBytes);
    for (int64_t c = 0; c < P::kUnit; c += 2, w += 2 * kPanelRows, acc += 32) {
      F32 even, odd;
      load_columns<F>(w, even, odd);
      if constexpr (F::kScaled) even = mul(even, scale), odd = mul(odd, scale);
      store(acc, fma(even, rows, load_f32(acc)));
      store(acc + 16, fma(odd, rows, load_f32(acc + 16)));
    }
  }
}

template <class F>
void float_columns(const std::byte* panel, int64_t columns, float* out, int64_t stride) {
  using P = FloatPanel<F>;
  for (int64_t column = 0; column < columns; column += P::kUnit, panel += P::kUnitBytes) {
    F32 scale = set_f32(1.0f);
    if constexpr (F::kScaled) scale = load_f32(reinterpret_cast<const float*>(panel));
    const auto* w = reinterpret_cast<const typename F::Stored*>(panel + P::kScaleBytes);
    for (int64_t c = 0; c < P::kUnit; c += 2, w += 2 * kPanelRows, out += 2 * stride) {
      F32 even, odd;
      load_columns<F>(w, even, odd);
      if constexpr (F::kScaled) even = mul(even, scale), odd = mul(odd, scale);
      store(out, even);
      store(out + stride, odd);
    }
  }
}

#if defined(LANDFALL_HAS_BF16_DOT)
inline constexpr Activation kRoundedFloats = Activation::bf16;  // what activations for BF16 panels are rounded to

// BF16 panels with activations rounded to bf16: two columns a product, as the processor adds them.
template <class F, int T>
void bf16_tile(const std::byte* panel, const PackedRows& x, int64_t first, float* y, int64_t y_stride) {
  const std::byte* row[T];
  F32 acc[T];
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) {
    row[t] = x.data + x.place(first + t) * x.stride;
    acc[t] = zero();
  }
  for (int64_t pair = 0; pair < x.columns / 2; pair += 4, panel += 256) {
    LANDFALL_UNROLL
    for (int p = 0; p < 4; ++p) {
      const I32 w = load_i32(panel + 64 * p);
      LANDFALL_UNROLL_ROWS
      for (int t = 0; t < T; ++t) acc[t] = dot_bf16(acc[t], w, set_i32(read_i32(row[t] + (pair + p) * 4)));
    }
    if constexpr (T > 1) fetch_ahead<256>(panel + x.columns * 32);
  }
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) store(y + t * y_stride, acc[t]);
}

template <class F>
void bf16_panel(const std::byte* panel, const PackedRows& x, int64_t first, int64_t rows, float* y, int64_t y_stride) {
  LANDFALL_TILES(bf16_tile, F, kLargestTile);
}
#else
inline constexpr Activation kRoundedFloats = Activation::f32;
template <class F>
constexpr PanelKernel bf16_panel = float_panel<F>;
#endif
