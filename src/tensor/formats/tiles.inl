// How a matrix kernel cuts rows into tiles. A tile's size never changes a result, only its speed: where every row has
// two sums in registers (floats on AVX2), kFloatTile of them leave room for what they are multiplied with. Included
// inside each target's namespace.

using Tile = void (*)(const std::byte* panel, const PackedRows& x, int64_t first, float* y, int64_t y_stride);

// Builds with sanitizers have fewer sizes: all of them take clang half a minute for each format.
#if defined(LANDFALL_FEW_TILES)
inline constexpr int kLargestTile = 4, kLargestFloatTile = 4;
#else
inline constexpr int kLargestTile = kTile, kLargestFloatTile = kFloatTile;
#endif

// As few tiles of at most `largest` rows as possible, of sizes that differ by one at most; tile[n - 1] takes n rows.
inline void run_tiles(const Tile* tile, int64_t largest, const std::byte* panel, const PackedRows& x, int64_t first,
                      int64_t rows, float* y, int64_t y_stride) {
  for (int64_t left = (rows + largest - 1) / largest; left > 0; --left) {
    const int64_t n = (rows + left - 1) / left;
    tile[n - 1](panel, x, first, y, y_stride);
    first += n;
    rows -= n;
    y += n * y_stride;
  }
}

// Asks for `bytes` of weights: of the next panel while this one is multiplied by several rows, which is slower than
// memory; with one row or two, which are as fast as memory, kLookAhead from here.
template <int64_t bytes>
LANDFALL_INLINE void fetch_ahead(const void* p) {
  LANDFALL_UNROLL
  for (int64_t b = 0; b < bytes; b += 64) __builtin_prefetch(static_cast<const char*>(p) + b, 0, 2);
}

template <int... kSizes>
struct TileSizes {};
template <int n, int... kSizes>
struct TileSizesUpTo : TileSizesUpTo<n - 1, n, kSizes...> {};
template <int... kSizes>
struct TileSizesUpTo<0, kSizes...> {
  using Sizes = TileSizes<kSizes...>;
};

#undef LANDFALL_TILES
#define LANDFALL_TILES(tile, F, largest)                            \
  [&]<int... kSizes>(TileSizes<kSizes...>) {                        \
    static constexpr Tile kTiles[] = {tile<F, kSizes>...};          \
    run_tiles(kTiles, largest, panel, x, first, rows, y, y_stride); \
  }                                                                 \
  (typename TileSizesUpTo<largest>::Sizes{})
