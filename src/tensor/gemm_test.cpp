#include "tensor/gemm.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tensor/access.h"
#include "tensor/format.h"
#include "tensor/testing.h"
#include "tensor/weight.h"

namespace landfall {
namespace {

// A matrix whose rows stand apart and, where asked, out of order.
struct Rows {
  Rows(int64_t rows, int64_t width, bool scattered, uint32_t seed)
      : stride(width + 5), values(fixed_numbers<float>(rows * stride, seed)), place(static_cast<size_t>(rows)) {
    std::iota(place.begin(), place.end(), 0);
    if (scattered) std::reverse(place.begin(), place.end());
  }
  Factor factor() const { return {.data = values.data(), .stride = stride, .index = place.data()}; }
  int64_t stride;
  std::vector<float> values;
  std::vector<int32_t> place;
};

double number(const Factor& f, int64_t row, int64_t column) {
  return f.transposed ? f.row(column)[row] : f.row(row)[column];
}

class GemmTest : public testing::Test {
 protected:
  Ctx ctx(KernelSet set, ThreadPool& pool) { return make_ctx(reader_, {set, true}, pool, arena_, batch_.batch(), {}); }
  RunReader reader_;
  TestBatch batch_{{landfall::Run{0, 1, 0, 0, true}}};
  Arena arena_;
  ThreadPool alone_{1}, three_{3};
};

TEST_F(GemmTest, EqualsTheSumInDoubleWhateverTheThreads) {
  struct Shape {
    int64_t m, n, k;
  };
  for (const Shape& s : {Shape{1, 1, 1}, Shape{7, 17, 5}, Shape{130, 257, 33}, Shape{13, 31, 513}, Shape{257, 300, 70},
                         Shape{5, 9, 0}, Shape{0, 4, 4}}) {
    for (int form = 0; form < 8; ++form) {
      const bool a_turned = form & 1, b_turned = form & 2, scattered = form & 4;
      const Rows a(a_turned ? s.k : s.m, a_turned ? s.m : s.k, scattered, 3);
      const Rows b(b_turned ? s.n : s.k, b_turned ? s.k : s.n, scattered, 4);
      const Rows c(s.m, s.n, scattered, 5);
      Gemm work{s.m, s.n, s.k, a.factor(), b.factor(), nullptr, c.stride, c.place.data()};
      work.a.transposed = a_turned, work.b.transposed = b_turned;
      std::vector<double> expected(c.values.begin(), c.values.end());  // what lies between the rows stays
      for (int64_t i = 0; i < s.m; ++i)
        for (int64_t j = 0; j < s.n; ++j)
          for (int64_t k = 0; k < s.k; ++k)
            expected[static_cast<size_t>(c.place[static_cast<size_t>(i)] * c.stride + j)] +=
                number(work.a, i, k) * number(work.b, k, j);
      for (KernelSet set : available_kernel_sets()) {
        SCOPED_TRACE(std::string(name(set)) + " " + std::to_string(s.m) + " " + std::to_string(s.n) + " " +
                     std::to_string(s.k) + ", form " + std::to_string(form));
        auto multiplied = [&](auto&& multiply) {
          std::vector<float> out = c.values;
          Gemm product = work;
          product.c = out.data();
          multiply(product);
          return out;
        };
        Ctx one = ctx(set, alone_), three = ctx(set, three_);
        std::vector<float> scratch(static_cast<size_t>(gemm_scratch_floats()));
        const auto got = multiplied([&](const Gemm& g) { gemm(one, g); });
        EXPECT_LE(relative_error({got.begin(), got.end()}, expected), 2e-6);
        EXPECT_EQ(got, multiplied([&](const Gemm& g) { gemm(three, g); }));
        EXPECT_EQ(got, multiplied([&](const Gemm& g) { gemm_here(set, g, scratch.data()); }));
        // The last rows alone: other tiles, the same numbers.
        if (s.m < 3 || a_turned) continue;
        const auto part = multiplied([&](Gemm g) {
          g.a.index += 2, g.c_index += 2, g.m -= 2;
          gemm(one, g);
        });
        for (int64_t i = 2; i < s.m; ++i) {
          const auto at = static_cast<size_t>(c.place[static_cast<size_t>(i)] * c.stride);
          for (size_t j = 0; j < static_cast<size_t>(s.n); ++j) ASSERT_EQ(part[at + j], got[at + j]);
        }
      }
    }
  }
}

TEST_F(GemmTest, FactorsAreRoundedToBf16WhereThatIsAsked) {
  const int64_t m = 131, n = 279, k = 301;
  for (int form = 0; form < 8; ++form) {
    const bool a_turned = form & 1, b_turned = form & 2, scattered = form & 4;
    const Rows a(a_turned ? k : m, a_turned ? m : k, scattered, 3), b(b_turned ? n : k, b_turned ? k : n, scattered, 4);
    const Rows c(m, n, scattered, 5);
    Gemm work{m, n, k, a.factor(), b.factor(), nullptr, c.stride, c.place.data()};
    work.a.transposed = a_turned, work.b.transposed = b_turned;
    const auto rounded = [](double v) { return bf16_to_float(float_to_bf16(static_cast<float>(v))); };
    std::vector<double> expected(c.values.begin(), c.values.end());
    for (int64_t i = 0; i < m; i += 13)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t at = 0; at < k; ++at)
          expected[static_cast<size_t>(c.place[static_cast<size_t>(i)] * c.stride + j)] +=
              rounded(number(work.a, i, at)) * rounded(number(work.b, at, j));
    for (KernelSet set : available_kernel_sets()) {
      SCOPED_TRACE(std::string(name(set)) + ", form " + std::to_string(form));
      const auto multiplied = [&](ThreadPool& pool) {
        std::vector<float> out = c.values;
        Gemm product = work;
        product.c = out.data();
        Ctx with = ctx(set, pool);
        gemm(with, product, true);
        for (int64_t i = 0; i < m; ++i) {
          const auto row = static_cast<size_t>(c.place[static_cast<size_t>(i)] * c.stride);
          if (i % 13 != 0)
            std::copy_n(c.values.begin() + static_cast<int64_t>(row), n, out.begin() + static_cast<int64_t>(row));
        }
        return out;
      };
      const std::vector<float> got = multiplied(alone_);
      EXPECT_LE(relative_error({got.begin(), got.end()}, expected), 2e-6);
      EXPECT_EQ(got, multiplied(three_));
    }
  }
}

TEST_F(GemmTest, TakesRowsOfAWeightOfEveryFormat) {
  constexpr int64_t kExperts = 2, kOut = 275, kIn = 512, kM = 19;
  for (const Format* format : formats_table()) {
    const OwnedWeight w =
        make_weight(1, "w", *format, kExperts, kOut, kIn, fixed_numbers<float>(kExperts * kOut * kIn, 7));
    std::vector<float> plain(kOut * kIn);
    unpack_rows(w.weight, 1, 0, kOut, plain.data());
    for (bool turned : {false, true}) {
      const int64_t k = turned ? kIn : kOut, n = turned ? kOut : kIn;
      const std::vector<float> a = fixed_numbers<float>(kM * k, 8);
      Factor from_weight = rows_of(w.weight, 1), from_memory{.data = plain.data(), .stride = kIn};
      from_weight.transposed = from_memory.transposed = turned;
      for (KernelSet set : available_kernel_sets()) {
        SCOPED_TRACE(std::string(format->name) + ", " + std::string(name(set)) + (turned ? ", transposed" : ""));
        std::vector<float> got(static_cast<size_t>(kM * n)), expected = got;
        Ctx c = ctx(set, three_);
        gemm(c, {kM, n, k, {.data = a.data(), .stride = k}, from_weight, got.data(), n});
        gemm(c, {kM, n, k, {.data = a.data(), .stride = k}, from_memory, expected.data(), n});
        EXPECT_EQ(got, expected);
      }
    }
  }
}

}  // namespace
}  // namespace landfall
