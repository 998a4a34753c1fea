// The count reading against figures made by hand.
#include <gtest/gtest.h>

#include "tensor/format.h"
#include "tensor/op_inputs.h"
#include "tensor/ops.h"
#include "tensor/testing.h"
#include "tensor/weight.h"

namespace landfall {
namespace {

// Counts what `call` does to a batch of the given runs; no tensor has memory.
template <class Call>
CountReader count(std::vector<Run> runs, KvView* cache, Call&& call) {
  const TestBatch batch(std::move(runs));
  ThreadPool pool(1);
  Arena arena;
  CountReader reader;
  Ctx ctx = make_ctx(reader, {KernelSet::scalar, false}, pool, arena, batch.batch(), cache);
  call(ctx);
  return reader;
}

Weight shape(const char* format, int64_t experts, int64_t out, int64_t in) {
  return describe_weight(1, "w", *format_by_name(format), experts, out, in);
}

std::vector<Run> rows(int32_t n, int32_t past = 0, bool expanded = true) { return {{0, n, past, 0, expanded}}; }

TEST(Count, LinearIsTwoOperationsAWeightAndRow) {
  const Weight w = shape("F32", 1, 48, 64), q = shape("Q4_0", 1, 48, 64);
  const CountReader f32 = count(rows(5), nullptr, [&](Ctx& ctx) { linear(ctx, Tensor::of(DType::f32, {5, 64}), w); });
  EXPECT_EQ(f32.total().operations, 2.0 * 5 * 48 * 64);
  EXPECT_EQ(f32.total().weight_bytes, 4.0 * 48 * 64);
  EXPECT_EQ(f32.total().cache_bytes, 0);
  EXPECT_EQ(f32.activation_bytes(), 5u * 48 * 4);
  const CountReader q4 = count(rows(5), nullptr, [&](Ctx& ctx) { linear(ctx, Tensor::of(DType::f32, {5, 64}), q); });
  EXPECT_EQ(q4.total().operations, 2.0 * 5 * 48 * 64);
  EXPECT_EQ(q4.total().weight_bytes, 48.0 * 64 * 18 / 32);  // 18 bytes hold 32 numbers
}

TEST(Count, AttentionIsTwoOperationsAPairAndColumn) {
  // 3 rows behind 10: 11 + 12 + 13 = 36 pairs of a row and a position, 4 heads, 16 columns of keys and 8 of values.
  TestCache cache(CacheType::bf16, {32, 16}, 128);
  auto call = [](Ctx& ctx) {
    attention(ctx, Tensor::of(DType::f32, {3, 4, 16}), Tensor::of(DType::f32, {3, 2, 16}),
              Tensor::of(DType::f32, {3, 2, 8}), 1.0f, 0);
  };
  const CountReader behind = count(rows(3, 10), &cache, call);
  EXPECT_EQ(behind.total().operations, 2.0 * 36 * 4 * (16 + 8));
  EXPECT_EQ(behind.total().cache_bytes, 13.0 * 2 * (16 + 8) * 2);  // 13 positions, 2 groups, bf16
  EXPECT_EQ(behind.total().weight_bytes, 0);
  const CountReader alone = count(rows(3), nullptr, call);
  EXPECT_EQ(alone.total().operations, 2.0 * 6 * 4 * (16 + 8));
  EXPECT_EQ(alone.total().cache_bytes, 0);
}

TEST(Count, LatentAttentionDependsOnItsForm) {
  const Weight key = shape("F32", 4, 16, 32), value = shape("F32", 4, 12, 32);
  TestCache cache(CacheType::f32, {40}, 128);
  auto call = [&](Ctx& ctx) {
    latent_attention(ctx, Tensor::of(DType::f32, {3, 4, 24}), Tensor::of(DType::f32, {3, 32}),
                     Tensor::of(DType::f32, {3, 8}), &key, nullptr, value, 1.0f, 0);
  };
  const double weights = 4.0 * (16 + 12) * 32;
  const Cost absorbed = count(rows(3, 10, false), &cache, call).total();
  EXPECT_EQ(absorbed.operations, 2.0 * 36 * 4 * (32 + 8 + 32) + 2 * weights * 3);
  const Cost expanded = count(rows(3, 10, true), &cache, call).total();
  EXPECT_EQ(expanded.operations, 2.0 * 36 * 4 * (16 + 8 + 12) + 2 * weights * 13);  // the past is expanded too
  for (const Cost& c : {absorbed, expanded}) {
    EXPECT_EQ(c.cache_bytes, 13.0 * 40 * 4);
    EXPECT_EQ(c.weight_bytes, 4.0 * 4 * (16 + 16) * 32);  // 12 outputs take a whole panel of 16
  }
}

TEST(Count, ExpertsReadOnlyTheChosenOnes) {
  const Weight up = shape("F32", 8, 32, 64), down = shape("F32", 8, 64, 32);
  auto call = [&](Ctx& ctx) {
    const int64_t n = ctx.positions.elements();
    experts(ctx, Tensor::of(DType::f32, {n, 64}), {Tensor::of(DType::i32, {n, 2}), Tensor::of(DType::f32, {n, 2})},
            {&up, &up, &down});
  };
  const Cost one = count(rows(1), nullptr, call).total();
  // Two experts of three matrices; swiglu takes 5 operations a number, the weighted sum 2.
  EXPECT_EQ(one.operations, 2.0 * 2 * 3 * 32 * 64 + 5.0 * 2 * 32 + 2.0 * 2 * 64);
  EXPECT_NEAR(one.weight_bytes, 2.0 * 3 * 32 * 64 * 4, 1e-6);
  // Five rows touch 8 (1 - (3/4)^5) experts when each choice is as likely.
  const Cost five = count(rows(5), nullptr, call).total();
  EXPECT_EQ(five.operations, 5 * one.operations);
  EXPECT_NEAR(five.weight_bytes, 8 * (1 - 243.0 / 1024) * 3 * 32 * 64 * 4, 1e-6);
}

TEST(Count, RowsNameTheOperators) {
  const Weight w = shape("F32", 1, 64, 64);
  const CountReader reader = count(rows(2), nullptr, [&](Ctx& ctx) {
    const Tensor x = linear(ctx, Tensor::of(DType::f32, {2, 64}), w);
    linear(ctx, reshape(ctx, reshape(ctx, x, {2, 2, 32}), {2, 64}), w);  // views cost nothing and are not listed
    add(ctx, x, x);
  });
  ASSERT_EQ(reader.rows().size(), 2u);
  EXPECT_EQ(reader.rows()[0].op->name, "linear");
  EXPECT_EQ(reader.rows()[0].calls, 2);
  EXPECT_EQ(reader.rows()[1].op->name, "add");
  EXPECT_EQ(reader.activation_bytes(), 3u * 2 * 64 * 4);
}

}  // namespace
}  // namespace landfall
