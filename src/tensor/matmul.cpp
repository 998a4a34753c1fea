#include "tensor/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/access.h"
#define LANDFALL_TARGET_FILE "tensor/matmul.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {

extern const Format k_bf16;

bool rounds_to_bf16(const Ctx& ctx, const Weight& weight) {
  return ctx.device.exact && ctx.device.bf16 && weight.format == &k_bf16;
}

namespace {

struct Helpers {
  KernelSet set;
  void (*quantise_row)(const float* x, int64_t in, int64_t columns, CodeBlock* out, float* scale);
  void (*round_row)(const float* x, int64_t in, int64_t columns, uint16_t* out);
  void (*round_floats)(const float* x, int64_t n, float* out);
};

#define LANDFALL_ROW(set) {KernelSet::set, set::quantise_row, set::round_row, set::round_floats},
constexpr Helpers kHelpers[] = {LANDFALL_EACH_SET(LANDFALL_ROW)};
#undef LANDFALL_ROW

Activation packing(const Ctx& ctx, const Weight& weight) {
  return ctx.device.exact && !rounds_to_bf16(ctx, weight) ? Activation::f32
                                                          : kernels_for(*weight.format, ctx.device.kernels).kind;
}

// Bytes of activations that stay in a core's second-level cache (1 MiB) while a panel passes over them, and rows
// beyond which a block gains nothing.
constexpr int64_t kBlockBytes = 384 << 10, kBlockRows = 96;

// Bytes of a packed row. An odd number of cache lines, so that the rows of a tile do not compete for the same sets.
int64_t row_stride(Activation kind, int64_t columns) {
  const int64_t bytes = kind == Activation::f32    ? columns * 4
                        : kind == Activation::bf16 ? columns * 2
                                                   : columns / 32 * 48;
  return ((bytes + 63) / 64 | 1) * 64;
}

// Packs rows row(i), i < count.
template <class Row>
PackedRows pack(Ctx& ctx, const Weight& weight, int64_t count, Row&& row) {
  PackedRows out;
  out.kind = packing(ctx, weight);
  out.columns = weight.padded_in;
  out.stride = row_stride(out.kind, out.columns);
  std::byte* data = ctx.arena.scratch(static_cast<size_t>(count * out.stride));
  auto* scale = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(count) * 4));
  out.data = data;
  out.scale = scale;
  const Helpers& helpers = row_for(kHelpers, ctx.device.kernels);
  const int64_t in = weight.in, columns = weight.padded_in;
  const bool rounds = rounds_to_bf16(ctx, weight);  // also where the kernels multiply floats
  // A few rows are sooner rounded here than handed out.
  const int64_t grain = std::max<int64_t>(1, 8192 / std::max<int64_t>(columns, 1));
  ctx.pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      std::byte* to = data + i * out.stride;
      if (out.kind == Activation::int8) {
        helpers.quantise_row(row(i), in, columns, reinterpret_cast<CodeBlock*>(to), scale + i);
      } else if (out.kind == Activation::bf16) {
        helpers.round_row(row(i), in, columns, reinterpret_cast<uint16_t*>(to));
      } else {
        if (rounds) {
          helpers.round_floats(row(i), in, reinterpret_cast<float*>(to));
        } else {
          std::memcpy(to, row(i), static_cast<size_t>(in) * 4);
        }
        std::memset(to + in * 4, 0, static_cast<size_t>(columns - in) * 4);
      }
    }
  });
  return out;
}

}  // namespace

PackedRows pack_rows(Ctx& ctx, const Weight& weight, const float* base, int64_t stride, int64_t count) {
  if (packing(ctx, weight) == Activation::f32 && weight.in == weight.padded_in &&
      !rounds_to_bf16(ctx, weight)) {  // used where they are
    return {.data = reinterpret_cast<const std::byte*>(base), .stride = stride * 4, .columns = weight.in};
  }
  return pack(ctx, weight, count, [&](int64_t i) { return base + i * stride; });
}

PackedRows pack_rows(Ctx& ctx, const Weight& weight, const Tensor& x) {
  const float* base = data<float>(x);
  if (x.rank == 2) return pack_rows(ctx, weight, base, x.stride[0], x.shape[0]);
  const int64_t inner = x.shape[1];
  if (x.stride[0] == inner * x.stride[1]) return pack_rows(ctx, weight, base, x.stride[1], x.shape[0] * inner);
  return pack(ctx, weight, x.shape[0] * inner,
              [&](int64_t i) { return base + i / inner * x.stride[0] + i % inner * x.stride[1]; });
}

void subtract_codes(const PackedRows& packed, int64_t row, int64_t n, float* x) {
  const auto* block = reinterpret_cast<const CodeBlock*>(packed.data + packed.place(row) * packed.stride);
  for (int64_t begin = 0; begin < n; begin += kGroup, ++block) {
    const float step = std::ldexp(packed.scale[packed.place(row)], block->exponent >> 23);
    for (int64_t i = begin; i < std::min(begin + kGroup, n); ++i)
      x[i] -= static_cast<float>(block->code[i - begin]) * step;
  }
}

bool same_packing(const Ctx& ctx, const Weight& a, const Weight& b) {
  return packing(ctx, a) == packing(ctx, b) && rounds_to_bf16(ctx, a) == rounds_to_bf16(ctx, b) && a.in == b.in &&
         a.padded_in == b.padded_in;
}

namespace {

struct Panels {
  PanelKernel kernel;
  int64_t bytes;
  const std::byte* first;
};

Panels panels_of(const Ctx& ctx, const Weight& w, int64_t expert, const PackedRows& x) {
  const FormatKernels& kernels = kernels_for(*w.format, ctx.device.kernels);
  const int64_t bytes = w.format->panel_bytes(w.padded_in);
  return {x.kind == Activation::f32 ? kernels.f32 : kernels.rounded, bytes,
          w.buffer->host() + w.offset + expert * w.panels() * bytes};
}

// Panels [first_panel, last_panel) of one product, on the calling thread. Outputs past weight.out are not written.
void multiply_panels(const Ctx& ctx, const Product& product, int64_t first_panel, int64_t last_panel) {
  const PackedRows& x = *product.x;
  const Panels panels = panels_of(ctx, *product.weight, product.expert, x);
  const int64_t block = std::clamp<int64_t>(kBlockBytes / x.stride, 12, kBlockRows);
  float edge[kBlockRows * kPanelRows];
  for (int64_t row = 0; row < product.count; row += block) {
    const int64_t rows = std::min(block, product.count - row);
    float* to = product.y + row * product.y_stride;
    for (int64_t p = first_panel; p < last_panel; ++p) {
      const std::byte* panel = panels.first + p * panels.bytes;
      const int64_t lanes = std::min(kPanelRows, product.weight->out - p * kPanelRows);
      if (lanes == kPanelRows) {
        panels.kernel(panel, x, product.first + row, rows, to + p * kPanelRows, product.y_stride);
        continue;
      }
      panels.kernel(panel, x, product.first + row, rows, edge, kPanelRows);
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(to + r * product.y_stride + p * kPanelRows, edge + r * kPanelRows, static_cast<size_t>(lanes) * 4);
      }
    }
  }
}

}  // namespace

void panel_product(const Ctx& ctx, const Weight& weight, int64_t expert, int64_t panel, const PackedRows& x,
                   int64_t first, int64_t rows, float* y) {
  const Panels panels = panels_of(ctx, weight, expert, x);
  panels.kernel(panels.first + panel * panels.bytes, x, first, rows, y, kPanelRows);
}

void multiply(Ctx& ctx, std::span<const Product> work, int64_t rows) {
  int64_t panels = 0, most_rows = 0;
  for (const Product& p : work) {
    panels += p.weight->panels();
    most_rows = std::max(most_rows, p.count);
  }
  if (panels == 0) return;
  // Where there are fewer panels than threads, as in a router, rows are cut too, no finer than a panel takes them at
  // once.
  const int64_t pieces =
      std::clamp<int64_t>(2 * ctx.pool.threads() / panels, 1, std::max<int64_t>(1, most_rows / kBlockRows));
  ctx.pool.parallel_for(
      panels * pieces, 1,
      [&](int64_t begin, int64_t end, int) {
        for (int64_t piece = 0; piece < pieces; ++piece) {
          for (const Product& p : work) {
            const int64_t n = p.weight->panels();
            if (begin < n && end > 0) {
              Product part = p;
              const int64_t skipped = p.count * piece / pieces;
              part.first += skipped;
              part.count = p.count * (piece + 1) / pieces - skipped;
              part.y += skipped * p.y_stride;
              multiply_panels(ctx, part, std::max<int64_t>(begin, 0), std::min(end, n));
            }
            begin -= n;
            end -= n;
          }
        }
      },
      split_for(rows > 0 ? rows : most_rows));
}

}  // namespace landfall
