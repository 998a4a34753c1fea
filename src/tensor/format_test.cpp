// Every format, every promise of tensor/format.h, unasked: a new file in tensor/formats/ is tested by being there. It
// needs a golden file (tests/golden/make_format_goldens.py) and meets the error bound below.
#include "tensor/format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tensor/access.h"

namespace landfall {
namespace {

using Bytes = std::vector<std::byte>;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

struct Golden {
  Bytes blocks;
  std::vector<float> numbers;
};

Golden read_golden(const Format& format) {
  std::ifstream file("tests/golden/formats/" + lower(format.name) + ".bin", std::ios::binary);
  const std::vector<char> all{std::istreambuf_iterator<char>(file), {}};
  const auto block_bytes = static_cast<size_t>(format.block_bytes), block = static_cast<size_t>(format.block);
  const size_t count = all.size() / (block_bytes + 4 * block);
  Golden golden{Bytes(count * block_bytes), std::vector<float>(count * block)};
  if (count == 0 || all.size() != count * (block_bytes + 4 * block)) return {};
  std::memcpy(golden.blocks.data(), all.data(), golden.blocks.size());
  std::memcpy(golden.numbers.data(), all.data() + golden.blocks.size(), 4 * golden.numbers.size());
  return golden;
}

std::vector<float> gaussian(int64_t n, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) v = normal(random);
  return out;
}

Bytes random_bytes(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  Bytes out(static_cast<size_t>(n));
  for (std::byte& v : out) v = static_cast<std::byte>(random());
  return out;
}

int64_t file_bytes(const Format& format, int64_t n) { return n / format.block * format.block_bytes; }

Bytes encode(const Format& format, const std::vector<float>& in) {
  Bytes out(static_cast<size_t>(file_bytes(format, static_cast<int64_t>(in.size()))));
  format.encode(in.data(), static_cast<int64_t>(in.size()), out.data());
  return out;
}

std::vector<float> decode(const Format& format, const Bytes& blocks) {
  std::vector<float> out(blocks.size() / static_cast<size_t>(format.block_bytes) * static_cast<size_t>(format.block));
  format.decode(blocks.data(), static_cast<int64_t>(out.size()), out.data());
  return out;
}

bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// A panel from 16 rows of file bytes that follow each other, except the rows in `absent`.
struct Panel {
  Panel(const Format& f, const Bytes& rows, int64_t in, std::vector<int> absent = {})
      : format(f), columns(f.padded(in)) {
    bytes.resize(static_cast<size_t>(f.panel_bytes(columns)), std::byte{0xee});
    const std::byte* pointers[kPanelRows];
    const int64_t row_bytes = (in + f.block - 1) / f.block * f.block_bytes;
    for (int64_t r = 0; r < kPanelRows; ++r) pointers[r] = rows.data() + r * row_bytes;
    for (int r : absent) pointers[r] = nullptr;
    f.pack(pointers, in, bytes.data());
  }
  std::vector<float> row(int64_t r, int64_t in) const {
    std::vector<float> out(static_cast<size_t>(in));
    format.unpack(bytes.data(), in, r, out.data());
    return out;
  }
  const Format& format;
  int64_t columns;
  Bytes bytes;
};

// Rows of activations in every kind. value() is what a kernel was given: the number itself or its rounded form.
struct Activations {
  Activations(std::vector<float> values, int64_t n) : columns(n), f32(std::move(values)) {
    rows = static_cast<int64_t>(f32.size()) / n;
    for (int64_t row = 0; row < rows; ++row) quantise(f32.data() + row * n);
    for (float v : f32) bf16.push_back(float_to_bf16(v));
  }
  // Block b of a row holds code = round(v / scale * 2^s) with a shift s of the test's own choice within what fits.
  void quantise(const float* row) {
    float largest = 1e-20f;
    for (int64_t i = 0; i < columns; ++i) largest = std::max(largest, std::fabs(row[i]));
    scale.push_back(largest / 127.0f * 0x1p-7f);
    for (int64_t first = 0; first < columns; first += kGroup) {
      float most = 0.0f;
      for (int64_t i = first; i < first + kGroup; ++i) most = std::max(most, std::fabs(row[i]));
      int shift = static_cast<int>(first / kGroup % 8);
      while (shift > 0 && most * std::exp2(static_cast<float>(shift)) > largest) --shift;
      CodeBlock block{};
      block.exponent = (7 - shift) << 23;
      for (int64_t i = 0; i < kGroup; ++i) {
        const auto code = std::lround(row[first + i] / largest * 127.0f * std::exp2(static_cast<float>(shift)));
        block.code[i] = static_cast<int8_t>(code);
        block.minus_sum[i / 16] -= static_cast<int32_t>(code);
        block.minus_sum[2] -= static_cast<int32_t>(code);
      }
      int8.push_back(block);
    }
  }
  PackedRows packed(Activation kind) const {
    PackedRows out{.kind = kind, .scale = scale.data(), .columns = columns};
    switch (kind) {
      case Activation::f32:
        out.data = reinterpret_cast<const std::byte*>(f32.data()), out.stride = columns * 4;
        break;
      case Activation::bf16:
        out.data = reinterpret_cast<const std::byte*>(bf16.data()), out.stride = columns * 2;
        break;
      case Activation::int8:
        out.data = reinterpret_cast<const std::byte*>(int8.data());
        out.stride = columns / kGroup * static_cast<int64_t>(sizeof(CodeBlock));
    }
    return out;
  }
  double value(Activation kind, int64_t row, int64_t column) const {
    const auto at = static_cast<size_t>(row * columns + column);
    if (kind == Activation::f32) return f32[at];
    if (kind == Activation::bf16) return bf16_to_float(bf16[at]);
    const CodeBlock& block = int8[at / kGroup];
    return std::ldexp(double{scale[static_cast<size_t>(row)]}, block.exponent >> 23) * block.code[at % kGroup];
  }
  int64_t columns, rows = 0;
  std::vector<float> f32, scale;
  std::vector<uint16_t> bf16;
  std::vector<CodeBlock> int8;
};

// Calls check(kernel, kind of activations, name) for every kernel of the format that can run here.
template <class Check>
void for_each_kernel(const Format& format, Check check) {
  constexpr const char* kKinds[] = {" f32", " bf16", " int8"};
  for (KernelSet set : available_kernel_sets()) {
    const FormatKernels& kernels = kernels_for(format, set);
    ASSERT_EQ(kernels.set, set) << format.name << " has no kernels for " << name(set);
    check(kernels.f32, Activation::f32, std::string(name(set)) + " f32");
    if (kernels.kind != Activation::f32)
      check(kernels.rounded, kernels.kind, std::string(name(set)) + kKinds[static_cast<size_t>(kernels.kind)]);
  }
}

// All rows of y against sums in double. The largest error allowed is `tolerance` of the sum of |activation| times the
// largest |weight| of the row, which is what the terms could add up to. Beside it, numbers that are next to nothing may
// go: a sum of zero in int8 comes out as some 1e-37, and bf16 products take subnormal weights for zero.
void expect_products(const Panel& panel, const Activations& x, Activation kind, const std::vector<float>& y,
                     double tolerance, const std::string& what) {
  for (int64_t r = 0; r < kPanelRows; ++r) {
    const std::vector<float> w = panel.row(r, panel.columns);
    double largest = 0.0;
    for (float v : w) largest = std::max(largest, std::fabs(double{v}));
    for (int64_t t = 0; t < x.rows; ++t) {
      double sum = 0.0, bound = 0.0;
      for (int64_t c = 0; c < panel.columns; ++c) {
        const double a = x.value(kind, t, c);
        sum += a * w[static_cast<size_t>(c)];
        bound += std::fabs(a) * largest + (kind == Activation::bf16 ? std::fabs(a) * 1.2e-38 / tolerance : 0.0);
      }
      if (kind == Activation::int8) bound += 1e-36 * std::max(1.0, largest) / tolerance;
      const double error = std::fabs(y[static_cast<size_t>(t * kPanelRows + r)] - sum);
      if (!(error <= tolerance * bound)) {
        FAIL() << panel.format.name << " " << what << ", row " << t << ", output " << r << ": got "
               << y[static_cast<size_t>(t * kPanelRows + r)] << ", expected " << sum << ", bound " << tolerance * bound;
      }
    }
  }
}

class EveryFormat : public testing::TestWithParam<const Format*> {
 protected:
  const Format& format() const { return *GetParam(); }
  // A number of columns that is several blocks and several groups.
  int64_t several() const { return 2 * format().padded(1) + format().padded(format().block + 1); }
};

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat, testing::ValuesIn(formats_table().begin(), formats_table().end()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST_P(EveryFormat, decodes_to_the_golden_numbers) {
  const Golden golden = read_golden(format());
  ASSERT_FALSE(golden.numbers.empty()) << "no golden of the right size; see tests/golden/make_format_goldens.py";
  const std::vector<float> got = decode(format(), golden.blocks);
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i], golden.numbers[i]) << "number " << i % static_cast<size_t>(format().block) << " of block "
                                         << i / static_cast<size_t>(format().block);
  }
}

// Relative error of Gaussian numbers, root of mean square. A format not listed must do what b bits per weight allow:
// formats that spend a scale per block come within 2.5 * 2^-b.
double stated_error(const Format& format) {
  static constexpr std::pair<std::string_view, double> kStated[] = {
      {"F32", 0.0},     {"F16", 2.2e-4},  {"BF16", 1.7e-3},   {"F8_E4M3", 0.0262}, {"Q8_0", 0.0055},  {"Q4_0", 0.088},
      {"Q4_1", 0.080},  {"Q5_0", 0.044},  {"Q5_1", 0.039},    {"Q2_K", 0.276},     {"Q3_K", 0.147},   {"Q4_K", 0.073},
      {"Q5_K", 0.0366}, {"Q6_K", 0.0178}, {"IQ4_NL", 0.0763}, {"IQ4_XS", 0.0770},  {"MXFP4", 0.1140},
  };
  for (const auto& [name, error] : kStated) {
    if (name == format.name) return error;
  }
  return 2.5 * std::exp2(-format.bits_per_weight());
}

TEST_P(EveryFormat, encodes_gaussian_numbers_within_the_stated_error) {
  for (float deviation : {1.0f, 0.02f}) {
    const std::vector<float> in = gaussian(256 * 64, 1, deviation);
    const std::vector<float> out = decode(format(), encode(format(), in));
    double error = 0.0, power = 0.0;
    for (size_t i = 0; i < in.size(); ++i) {
      error += std::pow(double{in[i]} - out[i], 2);
      power += std::pow(double{in[i]}, 2);
    }
    EXPECT_LE(std::sqrt(error / power), stated_error(format())) << "deviation " << deviation;
  }
}

TEST_P(EveryFormat, encodes_zeros_and_a_single_number) {
  std::vector<float> in(256, 0.0f);
  for (float v : decode(format(), encode(format(), in))) ASSERT_EQ(v, 0.0f);
  for (float one : {0.75f, -0.75f}) {  // both are numbers of every format, up to the rounding of its scale
    in[77] = one;
    const std::vector<float> out = decode(format(), encode(format(), in));
    EXPECT_NEAR(out[77], one, 0.02f);
    for (size_t i = 0; i < out.size(); ++i) {
      if (i != 77) {
        ASSERT_NEAR(out[i], 0.0f, 0.02f) << i;
      }
    }
  }
}

TEST_P(EveryFormat, encoding_what_was_decoded_changes_little) {
  const std::vector<float> once = decode(format(), encode(format(), gaussian(256 * 16, 2)));
  const std::vector<float> twice = decode(format(), encode(format(), once));
  double error = 0.0, power = 0.0;
  for (size_t i = 0; i < once.size(); ++i) {
    error += std::pow(double{once[i]} - twice[i], 2);
    power += std::pow(double{once[i]}, 2);
  }
  EXPECT_LE(std::sqrt(error / power), stated_error(format()));
}

TEST_P(EveryFormat, encodes_infinities_and_nan_without_harm) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& odd : {std::vector{inf}, {-inf}, {nan}, {inf, -inf, nan}, {3e38f, -3e38f}, {1e-45f, -1e-45f}}) {
    std::vector<float> in = gaussian(256, 3);
    for (size_t i = 0; i < odd.size(); ++i) in[i * 5] = odd[i];
    decode(format(), encode(format(), in));
    std::fill(in.begin(), in.end(), odd[0]);
    decode(format(), encode(format(), in));
  }
}

TEST_P(EveryFormat, unpacks_what_decode_gives_for_any_bytes) {
  for (int64_t in : {int64_t{format().block}, int64_t{7} * format().block, several()}) {
    const int64_t row_bytes = file_bytes(format(), in);
    const Bytes rows = random_bytes(kPanelRows * row_bytes, static_cast<uint32_t>(in));
    const Panel panel(format(), rows, in, {3, 15});
    for (int64_t r = 0; r < kPanelRows; ++r) {
      const Bytes one(rows.begin() + r * row_bytes, rows.begin() + (r + 1) * row_bytes);
      const std::vector<float> expected = decode(format(), one), got = panel.row(r, in);
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_TRUE(same(got[i], r == 3 || r == 15 ? 0.0f : expected[i]))
            << "row " << r << ", column " << i << ": got " << got[i] << ", expected " << expected[i];
      }
    }
  }
}

TEST_P(EveryFormat, padding_is_whole_groups_of_zeros) {
  for (int64_t in : {1, 31, 32, 33, 255, 256, 1000}) {
    const int64_t padded = format().padded(in);
    EXPECT_GE(padded, in);
    EXPECT_EQ(padded % kGroup, 0);
    EXPECT_EQ(padded % format().block, 0);
    EXPECT_LT(padded - in, std::max<int64_t>(kGroup, format().block));
  }
  const int64_t in = format().block;
  const Panel panel(format(), encode(format(), gaussian(kPanelRows * in, 4)), in);
  for (int64_t r = 0; r < kPanelRows; ++r) {
    const std::vector<float> row = panel.row(r, panel.columns);
    for (size_t i = static_cast<size_t>(in); i < row.size(); ++i) ASSERT_EQ(row[i], 0.0f);
  }
}

TEST_P(EveryFormat, kernels_agree_with_sums_in_double) {
  const int64_t in = several();
  const Panel panel(format(), encode(format(), gaussian(kPanelRows * in, 5, 0.02f)), in, {9});
  const Activations x(gaussian(15 * panel.columns, 6), panel.columns);
  for_each_kernel(format(), [&](PanelKernel kernel, Activation kind, const std::string& what) {
    std::vector<float> y(static_cast<size_t>(x.rows * kPanelRows), -1.0f);
    kernel(panel.bytes.data(), x.packed(kind), 0, x.rows, y.data(), kPanelRows);
    expect_products(panel, x, kind, y, 3e-7, what);
  });
}

// The goldens hold blocks with all code bits set, clear and mixed; byte products of two extremes must not saturate.
// Every row of the panel is one golden block, repeated; blocks too large for sums in float are left out.
TEST_P(EveryFormat, kernels_take_extreme_codes_and_activations) {
  const Golden golden = read_golden(format());
  ASSERT_FALSE(golden.blocks.empty());
  const auto block = static_cast<size_t>(format().block), block_bytes = static_cast<size_t>(format().block_bytes);
  const int64_t in = 3 * format().padded(1);
  Bytes rows;
  size_t next = 0;
  for (int64_t r = 0; r < kPanelRows; ++next) {
    const auto first = golden.numbers.begin() + static_cast<ptrdiff_t>(next % (golden.numbers.size() / block) * block);
    if (std::any_of(first, first + static_cast<ptrdiff_t>(block), [](float v) { return std::fabs(v) > 1e30f; }))
      continue;
    const size_t at = next % (golden.numbers.size() / block) * block_bytes;
    for (int64_t b = 0; b < in / format().block; ++b) {
      for (size_t i = 0; i < block_bytes; ++i) rows.push_back(golden.blocks[at + i]);
    }
    ++r;
  }
  const Panel panel(format(), rows, in);
  std::vector<float> values;
  for (int64_t i = 0; i < 4 * in; ++i) {
    const int64_t t = i / in;
    values.push_back(t == 0 ? 127.0f : t == 1 ? -127.0f : t == 2 ? (i % 2 != 0 ? 127.0f : -127.0f) : 0.0f);
  }
  const Activations x(values, in);
  for_each_kernel(format(), [&](PanelKernel kernel, Activation kind, const std::string& what) {
    std::vector<float> y(static_cast<size_t>(x.rows * kPanelRows), -1.0f);
    kernel(panel.bytes.data(), x.packed(kind), 0, x.rows, y.data(), kPanelRows);
    // Equal terms round the same way every time, so that the errors of the float sums add up.
    expect_products(panel, x, kind, y, kind == Activation::int8 ? 3e-7 : 5e-6, what);
  });
}

TEST_P(EveryFormat, a_row_gives_the_same_bytes_in_every_batch) {
  const int64_t in = several(), rows = 512, stride = 3 * kPanelRows;
  const Panel panel(format(), encode(format(), gaussian(kPanelRows * in, 7)), in);
  const Activations x(gaussian(rows * panel.columns, 8), panel.columns);
  for_each_kernel(format(), [&](PanelKernel kernel, Activation kind, const std::string& what) {
    const PackedRows packed = x.packed(kind);
    std::vector<float> all(static_cast<size_t>(rows * kPanelRows));
    kernel(panel.bytes.data(), packed, 0, rows, all.data(), kPanelRows);
    for (int64_t batch : {1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 29}) {
      const int64_t last = batch == 1 || batch == 8 ? rows : 64;
      for (int64_t first = 0; first + batch <= last; first += batch) {
        std::vector<float> y(static_cast<size_t>(batch * stride), -7.0f);
        kernel(panel.bytes.data(), packed, first, batch, y.data(), stride);
        for (int64_t t = 0; t < batch; ++t) {
          ASSERT_EQ(std::memcmp(&y[static_cast<size_t>(t * stride)],
                                &all[static_cast<size_t>((first + t) * kPanelRows)], kPanelRows * sizeof(float)),
                    0)
              << what << ", batch of " << batch << " from row " << first << ", row " << t;
          ASSERT_EQ(y[static_cast<size_t>(t * stride + kPanelRows)], -7.0f) << what << " wrote past its 16 outputs";
        }
      }
    }
  });
}

TEST_P(EveryFormat, rows_are_scaled_and_added_by_column) {
  const int64_t in = several();
  const Panel panel(format(), encode(format(), gaussian(kPanelRows * in, 10)), in, {4});
  const std::vector<float> x = gaussian(kPanelRows, 11), before = gaussian(kPanelRows * panel.columns, 12);
  for (KernelSet set : available_kernel_sets()) {
    std::vector<float> acc = before;
    kernels_for(format(), set).scale_rows(panel.bytes.data(), panel.columns, x.data(), acc.data());
    for (int64_t r = 0; r < kPanelRows; ++r) {
      const std::vector<float> w = panel.row(r, panel.columns);
      for (size_t c = 0; c < w.size(); ++c) {
        const auto at = c * kPanelRows + static_cast<size_t>(r);
        const double product = double{x[static_cast<size_t>(r)]} * w[c], expected = before[at] + product;
        ASSERT_NEAR(acc[at], expected, 1.3e-7 * (std::fabs(product) + std::fabs(expected))) << name(set) << " " << c;
      }
    }
  }
}

TEST_P(EveryFormat, columns_are_what_unpack_gives) {
  const int64_t in = several(), stride = 37;
  const Panel panel(format(), encode(format(), gaussian(kPanelRows * in, 13)), in, {4});
  for (KernelSet set : available_kernel_sets()) {
    std::vector<float> out(static_cast<size_t>(panel.columns * stride), -7.0f);
    kernels_for(format(), set).columns(panel.bytes.data(), panel.columns, out.data(), stride);
    for (int64_t r = 0; r < kPanelRows; ++r) {
      const std::vector<float> w = panel.row(r, panel.columns);
      for (size_t c = 0; c < w.size(); ++c) ASSERT_EQ(out[c * stride + static_cast<size_t>(r)], w[c]) << name(set);
    }
    ASSERT_EQ(out[kPanelRows], -7.0f) << name(set) << " wrote past its 16 rows";
  }
}

TEST_P(EveryFormat, kernels_survive_any_bytes) {
  const int64_t in = several();
  for (uint32_t seed = 0; seed < 8; ++seed) {
    const Bytes rows = seed == 0 ? Bytes(static_cast<size_t>(kPanelRows * file_bytes(format(), in)), std::byte{0xff})
                                 : random_bytes(kPanelRows * file_bytes(format(), in), 100 + seed);
    const Panel panel(format(), rows, in);
    const Activations x(gaussian(3 * in, 9), in);
    for_each_kernel(format(), [&](PanelKernel kernel, Activation kind, const std::string& what) {
      std::vector<float> y(static_cast<size_t>(x.rows * kPanelRows));
      kernel(panel.bytes.data(), x.packed(kind), 0, x.rows, y.data(), kPanelRows);
      for (int64_t r = 0; r < kPanelRows; ++r) {  // a row with a NaN weight must not look healthy
        bool poisoned = false;
        for (float v : panel.row(r, in)) poisoned = poisoned || std::isnan(v);
        EXPECT_TRUE(!poisoned || std::isnan(y[static_cast<size_t>(r)])) << what;
      }
    });
  }
}

TEST(Formats, are_found_by_name_in_any_case_and_by_gguf_number) {
  for (const Format* format : formats_table()) {
    EXPECT_EQ(format_by_name(format->name), format);
    EXPECT_EQ(format_by_name(lower(format->name)), format);
    EXPECT_EQ(format_by_gguf_type(format->gguf_type), format->gguf_type < 0 ? nullptr : format) << format->name;
  }
  EXPECT_EQ(format_by_name("Q4_9"), nullptr);
  EXPECT_EQ(format_by_name("Q4_"), nullptr);
  EXPECT_EQ(format_by_name(""), nullptr);
  EXPECT_EQ(format_by_gguf_type(-1), nullptr);
  EXPECT_EQ(format_by_gguf_type(4), nullptr);  // numbers that GGUF has retired
  EXPECT_EQ(format_by_gguf_type(int64_t{1} << 32), nullptr);
}

TEST(Formats, have_the_numbers_and_sizes_that_gguf_gives_them) {
  const struct {
    const char* name;
    int type, block, bytes;
  } expected[] = {{"F32", 0, 1, 4},       {"F16", 1, 1, 2},         {"Q4_0", 2, 32, 18},    {"Q4_1", 3, 32, 20},
                  {"Q5_0", 6, 32, 22},    {"Q5_1", 7, 32, 24},      {"Q8_0", 8, 32, 34},    {"Q2_K", 10, 256, 84},
                  {"Q3_K", 11, 256, 110}, {"Q4_K", 12, 256, 144},   {"Q5_K", 13, 256, 176}, {"Q6_K", 14, 256, 210},
                  {"IQ4_NL", 20, 32, 18}, {"IQ4_XS", 23, 256, 136}, {"BF16", 30, 1, 2},     {"MXFP4", 39, 32, 17}};
  for (const auto& e : expected) {
    const Format* format = format_by_gguf_type(e.type);
    ASSERT_NE(format, nullptr) << e.name;
    EXPECT_EQ(format->name, e.name);
    EXPECT_EQ(format->block, e.block) << e.name;
    EXPECT_EQ(format->block_bytes, e.bytes) << e.name;
  }
}

TEST(Formats, the_reference_set_gets_the_plainest_kernels) {
  for (const Format* format : formats_table()) {
    EXPECT_EQ(kernels_for(*format, KernelSet::reference).set, KernelSet::scalar) << format->name;
    EXPECT_EQ(kernels_for(*format, KernelSet::scalar).set, KernelSet::scalar) << format->name;
  }
}

}  // namespace
}  // namespace landfall
