#include "tensor/transposed.h"

#include <algorithm>
#include <cstring>

#include "tensor/access.h"
#include "tensor/format.h"
#include "tensor/weight.h"
#define LANDFALL_TARGET_FILE "tensor/transposed.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {

extern const Format k_f32;
extern const Format k_bf16;

namespace {

struct Helpers {
  KernelSet set;
  void (*sum_lanes)(const float* acc, int64_t n, float* y);
  void (*to_bf16)(const float* x, int64_t n, uint16_t* y);
};

#define LANDFALL_ROW(set) {KernelSet::set, set::sum_lanes, set::to_bf16},
constexpr Helpers kHelpers[] = {LANDFALL_EACH_SET(LANDFALL_ROW)};
#undef LANDFALL_ROW

const std::byte* panel_of(const Weight& w, int64_t expert, int64_t panel) {
  return w.buffer->host() + w.offset + (expert * w.panels() + panel) * w.format->panel_bytes(w.padded_in);
}

Weight describe(const Ctx& ctx, const Weight& weight) {
  const bool rounded = !ctx.device.exact && kernels_for(k_bf16, ctx.device.kernels).kind == Activation::bf16;
  return describe_weight(weight.id, weight.name, rounded ? k_bf16 : k_f32, weight.experts, weight.in, weight.out);
}

}  // namespace

void multiply_transposed(const Ctx& ctx, const Weight& weight, int64_t expert, const float* x, float* y, float* acc) {
  const FormatKernels& kernels = kernels_for(*weight.format, ctx.device.kernels);
  std::memset(acc, 0, static_cast<size_t>(weight.padded_in) * 16 * 4);
  for (int64_t p = 0; p < weight.panels(); ++p) {
    float lanes[kPanelRows] = {};
    std::memcpy(lanes, x + p * kPanelRows, static_cast<size_t>(std::min(kPanelRows, weight.out - p * kPanelRows)) * 4);
    kernels.scale_rows(panel_of(weight, expert, p), weight.padded_in, lanes, acc);
  }
  row_for(kHelpers, ctx.device.kernels).sum_lanes(acc, weight.in, y);
}

int64_t transposed_bytes(const Ctx& ctx, const Weight& weight) { return weight_bytes(describe(ctx, weight)); }

Weight transpose(Ctx& ctx, const Weight& weight, Buffer& memory) {
  Weight out = describe(ctx, weight);
  out.buffer = &memory;
  const FormatKernels& kernels = kernels_for(*weight.format, ctx.device.kernels);
  const Helpers& helpers = row_for(kHelpers, ctx.device.kernels);
  // Rows of the transpose, 16 of them to a panel. Rows and columns past the weight's own are zeros.
  const int64_t width = out.padded_in, rows = std::max(out.panels() * kPanelRows, weight.padded_in);
  const auto floats = static_cast<size_t>(rows * width);
  const Arena::Mark mark = ctx.arena.mark();
  auto* scratch = reinterpret_cast<float*>(ctx.arena.scratch(floats * 4 * static_cast<size_t>(ctx.pool.threads())));
  ctx.pool.parallel_for(weight.experts, 1, [&](int64_t begin, int64_t end, int thread) {
    float* plain = scratch + floats * static_cast<size_t>(thread);
    std::memset(plain, 0, floats * 4);
    for (int64_t e = begin; e < end; ++e) {
      for (int64_t p = 0; p < weight.panels(); ++p)
        kernels.columns(panel_of(weight, e, p), weight.padded_in, plain + p * kPanelRows, width);
      for (int64_t p = 0; p < out.panels(); ++p) {
        auto* to = reinterpret_cast<uint32_t*>(const_cast<std::byte*>(panel_of(out, e, p)));
        for (int64_t r = 0; r < kPanelRows; ++r) {
          const float* row = plain + (p * kPanelRows + r) * width;
          uint32_t words[2048];  // of as many columns at a time
          for (int64_t first = 0; first < width; first += 2048) {
            const int64_t n = std::min<int64_t>(2048, width - first);
            const bool pairs = out.format == &k_bf16;
            if (pairs) {
              helpers.to_bf16(row + first, n, reinterpret_cast<uint16_t*>(words));
            } else {
              std::memcpy(words, row + first, static_cast<size_t>(n) * 4);
            }
            uint32_t* place = to + (pairs ? first / 2 : first) * kPanelRows + r;
            for (int64_t i = 0; i < (pairs ? n / 2 : n); ++i) place[i * kPanelRows] = words[i];
          }
        }
      }
    }
  });
  ctx.arena.rewind(mark);
  return out;
}

}  // namespace landfall
