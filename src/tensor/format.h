// A number format of weights: how a file stores it, how Landfall keeps it, and the kernels that multiply with it. One
// file in tensor/formats/ defines one format as k_<file name>; the table of all is made from the folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/cpu.h"

namespace landfall {

// Weights are kept in panels of this many rows, so that a vector lane is an output and each output is reduced in one
// fixed order over the columns, whatever the number of rows in the batch.
inline constexpr int64_t kPanelRows = 16;

// Activations are quantised in blocks of this many columns, and every panel is padded to a multiple of it.
inline constexpr int64_t kGroup = 32;

// How activations stand before a kernel.
enum class Activation : uint8_t { f32, bf16, int8 };

// 32 columns of a row in int8: value = code * 2^(exponent / 2^23 - 7) * scale of the row. The scale fits the largest
// number of the row, and blocks of smaller numbers are shifted up by 0 to 7 bits: a shift of the product costs an
// integer addition where a scale of each block's own would cost a multiplication.
struct CodeBlock {
  int8_t code[32];       // in -127..127
  int32_t exponent;      // 0..7 in the place of a float's exponent, so that it can be added to a float that is not 0
  int32_t minus_sum[3];  // of codes 0..15, of codes 16..31, of all
};
static_assert(sizeof(CodeBlock) == 48);

// Rows of activations ready for a kernel, padded to `columns`.
struct PackedRows {
  Activation kind = Activation::f32;
  const std::byte* data = nullptr;  // rows of float, of bf16, or of CodeBlock
  int64_t stride = 0;               // bytes from one row to the next
  const float* scale = nullptr;     // [rows], of int8 rows
  int64_t columns = 0;
  const int32_t* index = nullptr;  // row i stands in place index[i]; null: in place i

  int64_t place(int64_t i) const { return index ? index[i] : i; }
};

// y[t * y_stride + r] = sum over columns of row (first + t) times row r of the panel, t < rows. Writes all 16 lanes.
using PanelKernel = void (*)(const std::byte* panel, const PackedRows& x, int64_t first, int64_t rows, float* y,
                             int64_t y_stride);

// acc[c * 16 + r] += x[r] * panel[r][c] for all padded columns c: the transposed product, summed over r by the caller.
using PanelScaleRows = void (*)(const std::byte* panel, int64_t columns, const float* x, float* acc);

// out[c * stride + r] = panel[r][c] for all padded columns c and 16 rows r.
using PanelColumns = void (*)(const std::byte* panel, int64_t columns, float* out, int64_t stride);

struct FormatKernels {
  KernelSet set;
  PanelKernel f32;      // activations as float
  PanelKernel rounded;  // activations rounded to `kind`; the same as f32 where there is none faster
  Activation kind;
  PanelScaleRows scale_rows;
  PanelColumns columns;
};

struct Format {
  std::string_view name;
  int32_t gguf_type = -1;   // its number in GGUF files, or -1
  int32_t block = 1;        // elements per block in a file
  int32_t block_bytes = 0;  // bytes per block in a file
  double bits_per_weight() const { return 8.0 * block_bytes / block; }

  // File blocks to numbers and back; n is a multiple of `block`. Decoding is exact, encoding rounds to nearest within
  // the scales that it picks.
  void (*decode)(const std::byte* blocks, int64_t n, float* out) = nullptr;
  void (*encode)(const float* in, int64_t n, std::byte* blocks) = nullptr;

  // The columns a row of `in` numbers is padded to, and the bytes of one panel of 16 such rows.
  int64_t (*padded)(int64_t in) = nullptr;
  int64_t (*panel_bytes)(int64_t padded_in) = nullptr;
  // rows[r]: file blocks of row r, or null for a row of zeros. in: columns that the file has.
  void (*pack)(const std::byte* const* rows, int64_t in, std::byte* panel) = nullptr;
  // Columns [0, in) of row r of a panel as float, exactly what decode gives.
  void (*unpack)(const std::byte* panel, int64_t in, int64_t row, float* out) = nullptr;

  std::span<const FormatKernels> kernels;  // most demanding first
};

std::span<const Format* const> formats_table();

const Format* format_by_name(std::string_view name);  // null when unknown
const Format* format_by_gguf_type(int64_t type);      // null when unknown

// The most demanding kernels that `set` covers.
const FormatKernels& kernels_for(const Format& format, KernelSet set);

}  // namespace landfall
