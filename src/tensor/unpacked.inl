// Rows times panels that were unpacked to floats, compiled per target. One order over the columns for every number of
// rows, so results do not depend on the batch.

#include "tensor/formats/tiles.inl"

template <class, int T>
void f32_tile(const std::byte* unpacked, const PackedRows& x, int64_t first, float* y, int64_t y_stride) {
  const auto* w = reinterpret_cast<const float*>(unpacked);
  const float* row[T];
  F32 acc[T];
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) {
    row[t] = reinterpret_cast<const float*>(x.data + x.place(first + t) * x.stride);
    acc[t] = load_f32(y + t * y_stride);
  }
  for (int64_t c = 0; c < x.columns; c += 2, w += 32) {
    const F32 even = load_f32(w), odd = load_f32(w + 16);
    LANDFALL_UNROLL
    for (int t = 0; t < T; ++t) {
      acc[t] = fma(even, set_f32(row[t][c]), acc[t]);
      acc[t] = fma(odd, set_f32(row[t][c + 1]), acc[t]);
    }
  }
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) store(y + t * y_stride, acc[t]);
}

// Columns [x.columns][16] times rows of floats, added to the sums in y.
void multiply_unpacked(const float* w, const PackedRows& x, int64_t first, int64_t rows, float* y, int64_t y_stride) {
  const auto* panel = reinterpret_cast<const std::byte*>(w);
  LANDFALL_TILES(f32_tile, void, kLargestFloatTile);
}
