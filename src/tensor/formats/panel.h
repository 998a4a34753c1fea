// How every quantised format lies in a panel of 16 rows, so that one matrix kernel (panel.inl) serves all of them.
//
// A format is described by a struct F ("traits"):
//   kName, kGgufType
//   kBlock, kBlockBytes     elements and bytes of a block in a file
//   kBits                   bits of a code: 8, 6, 5, 4, 3 or 2
//   kGroup16                true: one scale per 16 columns; false: per 32
//   kScales                 how scales are kept, see Scales
//   kBias                   value = scale * (code - kBias) + offset
//   kTable                  null, or 16 bytes: the code is kTable[nibble] (kBits is 4 then)
//   expand(block, Block&)   file bytes to fields; compact(Block, block) is its exact inverse
//   quantize(x, Block&)     numbers to fields
// value is computed as float(scale) * float(code - kBias), rounded, plus offset, rounded: in decode, in unpack and in
// the float kernel alike, so all three give the same bits.
//
// A panel is a row of units, one per file block. A unit is, for 16 rows r:
//   scales   half:       d[r] f16                              per 32 columns (kBlock = 32)
//            half_min:   d[r] f16, m[r] f16                    offset = m
//            e8m0:       e[r] u8                               scale = 2^(e-128)
//            super:      d[r] f16, then per group s[r] i8      scale = d * s
//            super_min:  d[r] f16, m[r] f16, then per group s[r] u8, n[r] u8   scale = d * s, offset = -(m * n)
//   codes    per 32 columns, as lines of 64 bytes in which byte 4r+i belongs to row r:
//            8 bits: 8 lines, byte 4r+i of line j = code of column 4j+i
//            nibbles (4, 5, 6 bits): 4 lines; low nibble of line j: column 8j+i, high: column 8j+4+i
//            crumbs (2, 3 bits, and bits 4-5 of 6): 2 lines; bits 2c, 2c+1 of line j: column 16j+4c+i
//            single bits (bit 4 of 5, bit 2 of 3): 1 line; bit c: column 4c+i
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "tensor/access.h"
#include "tensor/format.h"

namespace landfall {

enum class Scales : uint8_t { half, half_min, e8m0, super, super_min };

// The fields of one file block.
struct Block {
  uint8_t code[256];
  uint16_t d = 0, m = 0;                  // half precision, or the e8m0 byte in d
  uint8_t sub[16] = {}, submin[16] = {};  // per group, two's complement where signed
};

// Asked of the type: GCC's sanitizers do not let the address of a table be compared at compile time.
template <class F>
inline constexpr bool kHasTable = !std::is_null_pointer_v<std::remove_cv_t<decltype(F::kTable)>>;

// The largest code, after the table look-up: below 128 a cheaper byte product serves.
template <class F>
constexpr int largest_code() {
  if constexpr (kHasTable<F>) {
    return *std::max_element(F::kTable, F::kTable + 16);
  } else {
    return (1 << F::kBits) - 1;
  }
}

template <class F>
struct PanelLayout {
  static constexpr int64_t kGroups32 = F::kBlock / 32;
  static constexpr int64_t kSubGroups = F::kBlock / (F::kGroup16 ? 16 : 32);
  static constexpr int64_t kHalves = F::kScales == Scales::half || F::kScales == Scales::super ? 1
                                     : F::kScales == Scales::e8m0                              ? 0
                                                                                               : 2;
  static constexpr int64_t kSubBytes = F::kScales == Scales::super ? 1 : F::kScales == Scales::super_min ? 2 : 0;
  static constexpr int64_t kScaleBytes = F::kScales == Scales::e8m0 ? 16 : kHalves * 32 + kSubGroups * kSubBytes * 16;
  static constexpr bool kNibbles = F::kBits == 4 || F::kBits == 5 || F::kBits == 6;
  static constexpr bool kCrumbs = F::kBits == 2 || F::kBits == 3 || F::kBits == 6;
  static constexpr bool kSingles = F::kBits == 5 || F::kBits == 3;
  static constexpr int kCrumbShift = F::kBits == 6 ? 4 : 0;  // where the crumb goes in the code
  static constexpr int kSingleShift = F::kBits == 5 ? 4 : 2;
  static constexpr int64_t kNibbleBytes = F::kBits == 8 ? 512 : kNibbles ? 256 : 0;  // of 32 columns
  static constexpr int64_t kCrumbBytes = kCrumbs ? 128 : 0;
  static constexpr int64_t kSingleBytes = kSingles ? 64 : 0;
  static constexpr int64_t kCodeBytes = kNibbleBytes + kCrumbBytes + kSingleBytes;
  static constexpr int64_t kUnitBytes = kScaleBytes + kGroups32 * kCodeBytes;
};

template <class F>
int panel_code(uint8_t code) {
  if constexpr (kHasTable<F>) code = F::kTable[code];
  return int{code} - F::kBias;
}

// Scale and offset of sub-group g, as every reader computes them.
template <class F>
void block_scale(const Block& b, int64_t g, float& scale, float& offset) {
  offset = 0.0f;
  const auto at = static_cast<size_t>(g);
  if constexpr (F::kScales == Scales::half) {
    scale = half_to_float(b.d);
  } else if constexpr (F::kScales == Scales::half_min) {
    scale = half_to_float(b.d);
    offset = half_to_float(b.m);
  } else if constexpr (F::kScales == Scales::e8m0) {
    scale = std::ldexp(1.0f, b.d - 128);
  } else if constexpr (F::kScales == Scales::super) {
    scale = half_to_float(b.d) * static_cast<float>(static_cast<int8_t>(b.sub[at]));
  } else {
    scale = half_to_float(b.d) * static_cast<float>(b.sub[at]);
    offset = -(half_to_float(b.m) * static_cast<float>(b.submin[at]));
  }
}

template <class F>
void block_values(const Block& b, float* out) {
  constexpr int64_t kWidth = F::kGroup16 ? 16 : 32;
  for (int64_t g = 0; g < F::kBlock / kWidth; ++g) {
    float scale, offset;
    block_scale<F>(b, g, scale, offset);
    for (int64_t i = g * kWidth; i < (g + 1) * kWidth; ++i) {
      const float product = scale * static_cast<float>(panel_code<F>(b.code[i]));
      out[i] = product + offset;
    }
  }
}

template <class F>
void panel_decode(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += F::kBlock) {
    Block b;
    F::expand(reinterpret_cast<const uint8_t*>(blocks) + i / F::kBlock * F::kBlockBytes, b);
    block_values<F>(b, out + i);
  }
}

template <class F>
void panel_encode(const float* in, int64_t n, std::byte* blocks) {
  for (int64_t i = 0; i < n; i += F::kBlock) {
    Block b;
    F::quantize(in + i, b);
    F::compact(b, reinterpret_cast<uint8_t*>(blocks) + i / F::kBlock * F::kBlockBytes);
  }
}

template <class F>
int64_t panel_padded(int64_t in) {
  return (in + F::kBlock - 1) / F::kBlock * F::kBlock;
}

template <class F>
int64_t panel_size(int64_t padded_in) {
  return padded_in / F::kBlock * PanelLayout<F>::kUnitBytes;
}

// Moves one row between fields and its place in a unit. `Write` decides the direction.
template <class F, bool Write, class Byte>
void move_row(Byte* unit, int64_t r, Block& b) {
  using L = PanelLayout<F>;
  auto half = [&](int64_t at, uint16_t& field) {
    if constexpr (Write) {
      std::memcpy(unit + at, &field, 2);
    } else {
      std::memcpy(&field, unit + at, 2);
    }
  };
  auto byte = [&](int64_t at, uint8_t& field) {
    if constexpr (Write) {
      unit[at] = field;
    } else {
      field = unit[at];
    }
  };
  if constexpr (F::kScales == Scales::e8m0) {
    auto e = static_cast<uint8_t>(b.d);
    byte(r, e);
    b.d = e;
  } else {
    half(2 * r, b.d);
    if constexpr (L::kHalves == 2) half(32 + 2 * r, b.m);
    for (int64_t g = 0; g < L::kSubGroups * (L::kSubBytes > 0); ++g) {
      const int64_t at = 32 * L::kHalves + g * 16 * L::kSubBytes + r;
      byte(at, b.sub[g]);
      if constexpr (L::kSubBytes == 2) byte(at + 16, b.submin[g]);
    }
  }
  // Of four codes at once: bits [shift, shift + bits) of the bytes at `at` hold bits [code_shift, ...) of the codes.
  auto field = [&](int64_t at, int shift, int bits, int code_shift, uint32_t& codes) {
    const uint32_t mask = ((1u << bits) - 1) * 0x01010101u;
    uint32_t word;
    std::memcpy(&word, unit + at, 4);
    if constexpr (Write) {
      word |= ((codes >> code_shift) & mask) << shift;
      std::memcpy(unit + at, &word, 4);
    } else {
      codes |= ((word >> shift) & mask) << code_shift;
    }
  };
  for (int64_t k = 0; k < F::kBlock / 32; ++k) {
    const int64_t nibbles = L::kScaleBytes + k * L::kCodeBytes + 4 * r;
    const int64_t crumbs = nibbles + L::kNibbleBytes, singles = crumbs + L::kCrumbBytes;
    for (int c = 0; c < 8; ++c) {
      uint32_t codes = 0;
      if constexpr (Write) std::memcpy(&codes, b.code + 32 * k + 4 * c, 4);
      if constexpr (F::kBits == 8) field(nibbles + c * 64, 0, 8, 0, codes);
      if constexpr (L::kNibbles) field(nibbles + c / 2 * 64, c % 2 * 4, 4, 0, codes);
      if constexpr (L::kCrumbs) field(crumbs + c / 4 * 64, c % 4 * 2, 2, L::kCrumbShift, codes);
      if constexpr (L::kSingles) field(singles, c, 1, L::kSingleShift, codes);
      if constexpr (!Write) std::memcpy(b.code + 32 * k + 4 * c, &codes, 4);
    }
  }
}

template <class F>
void panel_pack(const std::byte* const* rows, int64_t in, std::byte* panel) {
  auto* out = reinterpret_cast<uint8_t*>(panel);
  std::memset(out, 0, static_cast<size_t>(panel_size<F>(panel_padded<F>(in))));
  for (int64_t r = 0; r < kPanelRows; ++r) {
    for (int64_t u = 0; u < panel_padded<F>(in) / F::kBlock; ++u) {
      Block b;
      if (rows[r] == nullptr) {  // zeros: scales of zero, whatever the codes
        std::memset(b.code, 0, sizeof b.code);
      } else {
        F::expand(reinterpret_cast<const uint8_t*>(rows[r]) + u * F::kBlockBytes, b);
      }
      move_row<F, true>(out + u * PanelLayout<F>::kUnitBytes, r, b);
    }
  }
}

template <class F>
void panel_unpack(const std::byte* panel, int64_t in, int64_t row, float* out) {
  const auto* p = reinterpret_cast<const uint8_t*>(panel);
  float values[F::kBlock];
  for (int64_t k = 0; k < in; k += F::kBlock) {
    Block b;
    move_row<F, false>(p + k / F::kBlock * PanelLayout<F>::kUnitBytes, row, b);
    block_values<F>(b, values);
    std::memcpy(out + k, values, static_cast<size_t>(std::min<int64_t>(F::kBlock, in - k)) * 4);
  }
}

template <class F>
constexpr Format make_format(std::span<const FormatKernels> kernels) {
  return {.name = F::kName,
          .gguf_type = F::kGgufType,
          .block = F::kBlock,
          .block_bytes = F::kBlockBytes,
          .decode = panel_decode<F>,
          .encode = panel_encode<F>,
          .padded = panel_padded<F>,
          .panel_bytes = panel_size<F>,
          .pack = panel_pack<F>,
          .unpack = panel_unpack<F>,
          .kernels = kernels};
}

// ---- for quantize()

// The code in [lo, hi] nearest to v * inverse, plus bias.
inline uint8_t nearest_code(float v, float inverse, int bias, int hi) {
  const float scaled = std::nearbyint(v * inverse);
  if (!(scaled > -1e6f)) return 0;  // NaN too
  return static_cast<uint8_t>(std::clamp(static_cast<int>(std::min(scaled, 1e6f)) + bias, 0, hi));
}

}  // namespace landfall

// Row of a FormatKernels table per kernel set, for traits F.
#define LANDFALL_PANEL_ROW(set, F)                                 \
  {KernelSet::set,   set::panel_f32<F>,        set::panel_int8<F>, \
   Activation::int8, set::panel_scale_rows<F>, set::panel_columns<F>},
#define LANDFALL_FORMAT_KERNELS(F) LANDFALL_EACH_SET(LANDFALL_PANEL_ROW, F)
