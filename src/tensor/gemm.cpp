#include "tensor/gemm.h"

#include <algorithm>

#include "tensor/access.h"
#include "tensor/format.h"

namespace landfall {
namespace {

// A tile of C: packed, its part of A (168 rows x 256) stays in a second-level cache of 512 KB beside a passing B; a
// strip of B (16 KB) stays in the first level. Columns and depth are multiples of the units of all formats.
constexpr int64_t kGemmTileRows = 168, kGemmTileColumns = 256, kGemmDepth = 256;
// As many such tiles, one below the other, share a packed part of B.
constexpr int64_t kMostRows = 4 * kGemmTileRows;
// Rooms for the packed parts, with what separates the strips.
constexpr int64_t kGemmAFloats = kGemmTileRows * (kGemmDepth + 16);
constexpr int64_t kGemmBFloats = kGemmTileColumns * kGemmDepth + 16 * 16;
constexpr int64_t kGemmStageFloats = kGemmTileColumns * 16;

}  // namespace
}  // namespace landfall

#define LANDFALL_TARGET_FILE "tensor/gemm.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
namespace {

struct Kernels {
  KernelSet set;
  using Tile = void (*)(const Gemm&, PanelColumns, int64_t m0, int64_t rows, int64_t n0, int64_t columns,
                        float* scratch);
  Tile tile, bf16_tile;
};
#define LANDFALL_ROW(set) {KernelSet::set, set::gemm_tile<set::Floats>, set::gemm_tile<set::Bf16>},
constexpr Kernels kKernels[] = {LANDFALL_EACH_SET(LANDFALL_ROW)};
#undef LANDFALL_ROW

PanelColumns unpack_of(KernelSet kernels, const Gemm& g) {
  LANDFALL_CHECK(g.a.weight == nullptr);
  return g.b.weight ? kernels_for(*g.b.weight->format, kernels).columns : nullptr;
}

int64_t pieces(int64_t n, int64_t most) { return (n + most - 1) / most; }

// Rows of the pieces that cut m rows evenly into as few as `most` allows; in whole register tiles, of 2, 6 or 12 rows.
int64_t even_rows(int64_t m, int64_t most) { return m <= 0 ? 1 : pieces(pieces(m, pieces(m, most)), 12) * 12; }

}  // namespace

Factor rows_of(const Weight& weight, int64_t expert) {
  if (weight.out == 1 && weight.experts == 1) return {.data = vector_data(weight), .stride = weight.in};
  return {.weight = &weight, .expert = expert};
}

int64_t gemm_scratch_floats() { return kGemmAFloats + kGemmBFloats + kGemmStageFloats; }

void gemm_here(KernelSet kernels, const Gemm& g, float* scratch) {
  const PanelColumns unpack = unpack_of(kernels, g);
  const auto tile = row_for(kKernels, kernels).tile;
  for (int64_t n = 0; n < g.n; n += kGemmTileColumns) {
    tile(g, unpack, 0, g.m, n, std::min(kGemmTileColumns, g.n - n), scratch);
  }
}

void gemm(Ctx& ctx, std::span<const Gemm> work, bool bf16) {
  const Arena::Mark mark = ctx.arena.mark();
  const int threads = ctx.pool.threads();
  // Lower tiles where there would be too few to keep the threads evenly at work; each packs its part of B again, so no
  // lower than that costs little.
  int64_t most = kMostRows, tiles = 0;
  auto tiles_of = [&](const Gemm& g) { return pieces(g.m, even_rows(g.m, most)) * pieces(g.n, kGemmTileColumns); };
  for (;; most /= 2) {
    tiles = 0;
    for (const Gemm& g : work) tiles += tiles_of(g);
    if (tiles >= 4 * threads || threads == 1 || most <= kGemmTileRows / 2) break;
  }
  auto* scratch =
      reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(gemm_scratch_floats() * threads) * sizeof(float)));
  const Kernels& kernels = row_for(kKernels, ctx.device.kernels);
  const Kernels::Tile tile = bf16 ? kernels.bf16_tile : kernels.tile;
  ctx.pool.parallel_for(tiles, 1, [&](int64_t begin, int64_t end, int thread) {
    for (const Gemm& g : work) {
      const int64_t count = tiles_of(g), rows = even_rows(g.m, most), down = pieces(g.m, rows);
      for (int64_t t = std::max<int64_t>(begin, 0); t < std::min(end, count); ++t) {
        const int64_t m = t % down * rows, n = t / down * kGemmTileColumns;
        tile(g, unpack_of(ctx.device.kernels, g), m, std::min(rows, g.m - m), n, std::min(kGemmTileColumns, g.n - n),
             scratch + gemm_scratch_floats() * thread);
      }
      begin -= count;
      end -= count;
    }
  });
  ctx.arena.rewind(mark);
}

}  // namespace landfall
