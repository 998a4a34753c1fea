#include "tensor/gated.h"

#include <algorithm>

#include "tensor/access.h"
#include "tensor/matmul.h"
#define LANDFALL_TARGET_FILE "tensor/gated.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
namespace {

struct Helpers {
  KernelSet set;
  void (*activate)(const float* gate, const float* up, int64_t rows, int lanes, float* h, int64_t h_stride);
  void (*add_weighted)(const float* x, float weight, int lanes, float* y);
};

#define LANDFALL_ROW(set) {KernelSet::set, set::activate, set::add_weighted},
constexpr Helpers kHelpers[] = {LANDFALL_EACH_SET(LANDFALL_ROW)};
#undef LANDFALL_ROW

// Rows that a panel's results are kept for in between: they stay in the first-level cache.
constexpr int64_t kBlock = 96;

}  // namespace

void multiply_gated(Ctx& ctx, const Tensor& x, std::span<const GatedRows> work, const int32_t* row, const float* weight,
                    const Tensor& out) {
  const Helpers& helpers = row_for(kHelpers, ctx.device.kernels);
  const Arena::Mark mark = ctx.arena.mark();
  int64_t panels = 0, most_rows = 0, middle_floats = 0;
  for (const GatedRows& g : work) {
    panels += g.weights.gate->panels();
    most_rows = std::max(most_rows, g.count);
    middle_floats += g.count * g.weights.down->in;
  }
  auto* middle = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(middle_floats) * 4));

  // Packed rows of x, once for each way of packing that a weight asks for.
  struct Packing {
    const Weight* weight;
    PackedRows rows;
  };
  constexpr size_t kPackings = 8;
  Packing packings[kPackings];
  size_t packed = 0;
  auto packing_of = [&](const Weight& w) -> const PackedRows& {
    for (size_t i = 0; i < packed; ++i) {
      if (same_packing(ctx, *packings[i].weight, w)) return packings[i].rows;
    }
    LANDFALL_CHECK(packed < kPackings);
    packings[packed] = {&w, pack_rows(ctx, w, x)};
    packings[packed].rows.index = row;
    return packings[packed++].rows;
  };
  for (const GatedRows& g : work) {
    packing_of(*g.weights.gate);
    packing_of(*g.weights.up);
  }

  ctx.pool.parallel_for(
      panels, 1,
      [&](int64_t begin, int64_t end, int) {
        alignas(64) float gate[kBlock * kPanelRows], up[kBlock * kPanelRows];
        float* h = middle;
        for (const GatedRows& g : work) {
          const Weight &wg = *g.weights.gate, &wu = *g.weights.up;
          const int64_t n = wg.panels();
          const PackedRows &xg = packing_of(wg), &xu = packing_of(wu);
          for (int64_t at = 0; at < g.count && begin < n && end > 0; at += kBlock) {
            const int64_t rows = std::min(kBlock, g.count - at);
            for (int64_t p = std::max<int64_t>(begin, 0); p < std::min(end, n); ++p) {
              panel_product(ctx, wg, g.expert, p, xg, g.first + at, rows, gate);
              panel_product(ctx, wu, g.expert, p, xu, g.first + at, rows, up);
              helpers.activate(gate, up, rows, static_cast<int>(std::min(kPanelRows, wg.out - p * kPanelRows)),
                               h + at * wg.out + p * kPanelRows, wg.out);
            }
          }
          h += g.count * wg.out;
          begin -= n;
          end -= n;
        }
      },
      split_for(most_rows));

  // Each block's intermediate rows, packed for its down matrix; blocks of one kind of weight together.
  struct Kind {
    const Weight* down;
    int64_t first;  // entry
    PackedRows rows;
  };
  Kind kinds[kPackings];
  size_t kind_count = 0;
  const float* h = middle;
  for (size_t i = 0; i < work.size();) {
    const Weight* down = work[i].weights.down;
    const int64_t first = work[i].first;
    int64_t count = 0;
    for (; i < work.size() && work[i].weights.down == down; ++i) count += work[i].count;
    LANDFALL_CHECK(kind_count < kPackings);
    kinds[kind_count++] = {down, first, pack_rows(ctx, *down, h, down->in, count)};
    h += count * down->in;
  }

  float* y = data<float>(out);
  const int64_t y_stride = out.stride[0], width = out.last();
  ctx.pool.parallel_for(
      (width + kPanelRows - 1) / kPanelRows, 1,
      [&](int64_t begin, int64_t end, int) {
        alignas(64) float down[kBlock * kPanelRows];
        const int64_t last = std::min(width, end * kPanelRows);
        for (int64_t r = 0; r < out.rows(); ++r) {
          std::fill(y + r * y_stride + begin * kPanelRows, y + r * y_stride + last, 0.0f);
        }
        for (const GatedRows& g : work) {
          const Kind* kind = kinds;
          while (kind->down != g.weights.down) ++kind;
          for (int64_t at = 0; at < g.count; at += kBlock) {
            const int64_t rows = std::min(kBlock, g.count - at), first = g.first + at;
            for (int64_t p = begin; p < end; ++p) {
              panel_product(ctx, *g.weights.down, g.expert, p, kind->rows, first - kind->first, rows, down);
              const int lanes = static_cast<int>(std::min(kPanelRows, width - p * kPanelRows));
              for (int64_t i = 0; i < rows; ++i) {
                helpers.add_weighted(down + i * kPanelRows, weight ? weight[first + i] : 1.0f, lanes,
                                     y + (row ? row[first + i] : first + i) * y_stride + p * kPanelRows);
              }
            }
          }
        }
      },
      split_for(most_rows));
  ctx.arena.rewind(mark);
}

}  // namespace landfall
