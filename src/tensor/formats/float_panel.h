// Panels of formats that are floating point themselves: groups of 32 columns, column after column, 16 rows each; of
// bf16 two columns together, row after row, as the processors' products of pairs want them.
// A format is described by a struct F: kName, kGgufType, kBlock, kBlockBytes (a file block), and
//   kNumber, Stored         what one number is, and the type that holds it in the panel
//   kScaled                 true: each file block starts with a float scale; a unit then starts with 16 of them
//   to_float(Stored)        exact, before the scale
// Columns up to a multiple of max(32, kBlock) are zeros.
#pragma once

#include <algorithm>
#include <cstring>

#include "tensor/access.h"
#include "tensor/format.h"

namespace landfall {

enum class Number : uint8_t { f32, f16, bf16, e4m3 };

template <class F>
struct FloatPanel {
  using Stored = typename F::Stored;
  static constexpr int64_t kUnit = F::kBlock < 32 ? 32 : F::kBlock;  // columns
  static constexpr int64_t kScaleBytes = F::kScaled ? 64 : 0;
  static constexpr int64_t kUnitBytes = kScaleBytes + kUnit * kPanelRows * static_cast<int64_t>(sizeof(Stored));

  static int64_t padded(int64_t in) { return (in + kUnit - 1) / kUnit * kUnit; }
  static int64_t size(int64_t padded_in) { return padded_in / kUnit * kUnitBytes; }

  // Where number k of row r of a unit stands.
  static int64_t place(int64_t k, int64_t r) {
    if constexpr (F::kNumber == Number::bf16) return k / 2 * 2 * kPanelRows + 2 * r + k % 2;
    return k * kPanelRows + r;
  }

  static float value(Stored stored, float scale) {
    const float plain = F::to_float(stored);
    return F::kScaled ? plain * scale : plain;
  }

  static void decode(const std::byte* blocks, int64_t n, float* out) {
    for (int64_t i = 0; i < n; ++i) {
      const std::byte* block = blocks + i / F::kBlock * F::kBlockBytes;
      float scale = 1.0f;
      if constexpr (F::kScaled) std::memcpy(&scale, block, 4);
      Stored stored;
      std::memcpy(&stored, block + (F::kScaled ? 4 : 0) + i % F::kBlock * static_cast<int64_t>(sizeof stored),
                  sizeof stored);
      out[i] = value(stored, scale);
    }
  }

  static void pack(const std::byte* const* rows, int64_t in, std::byte* panel) {
    std::memset(panel, 0, static_cast<size_t>(size(padded(in))));
    for (int64_t r = 0; r < kPanelRows; ++r) {
      if (rows[r] == nullptr) continue;
      for (int64_t k = 0; k < in; ++k) {
        const std::byte* block = rows[r] + k / F::kBlock * F::kBlockBytes;
        std::byte* unit = panel + k / kUnit * kUnitBytes;
        if constexpr (F::kScaled) std::memcpy(unit + 4 * r, block, 4);
        std::memcpy(unit + kScaleBytes + place(k % kUnit, r) * static_cast<int64_t>(sizeof(Stored)),
                    block + (F::kScaled ? 4 : 0) + k % F::kBlock * static_cast<int64_t>(sizeof(Stored)),
                    sizeof(Stored));
      }
    }
  }

  static void unpack(const std::byte* panel, int64_t in, int64_t row, float* out) {
    for (int64_t k = 0; k < in; ++k) {
      const std::byte* unit = panel + k / kUnit * kUnitBytes;
      float scale = 1.0f;
      if constexpr (F::kScaled) std::memcpy(&scale, unit + 4 * row, 4);
      Stored stored;
      std::memcpy(&stored, unit + kScaleBytes + place(k % kUnit, row) * static_cast<int64_t>(sizeof stored),
                  sizeof stored);
      out[k] = value(stored, scale);
    }
  }
};

template <class F>
constexpr Format make_float_format(std::span<const FormatKernels> kernels) {
  return {.name = F::kName,
          .gguf_type = F::kGgufType,
          .block = F::kBlock,
          .block_bytes = F::kBlockBytes,
          .decode = FloatPanel<F>::decode,
          .encode = F::encode,
          .padded = FloatPanel<F>::padded,
          .panel_bytes = FloatPanel<F>::size,
          .pack = FloatPanel<F>::pack,
          .unpack = FloatPanel<F>::unpack,
          .kernels = kernels};
}

}  // namespace landfall

#define LANDFALL_FLOAT_ROW(set, F)                                 \
  {KernelSet::set,  set::float_panel<F>,      set::float_panel<F>, \
   Activation::f32, set::float_scale_rows<F>, set::float_columns<F>},
#define LANDFALL_FLOAT_KERNELS(F) LANDFALL_EACH_SET(LANDFALL_FLOAT_ROW, F)
