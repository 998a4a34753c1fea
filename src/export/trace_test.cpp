#include "export/trace.h"

#include <gtest/gtest.h>

#include "tensor/format.h"
#include "tensor/op_inputs.h"
#include "tensor/ops.h"
#include "tensor/testing.h"
#include "tensor/weight.h"

namespace landfall {
namespace {

class TraceTest : public testing::Test {
 protected:
  Ctx ctx(Reader& reader) {
    return make_ctx(reader, {KernelSet::scalar, false}, pool_, arena_, batch_.batch(), nullptr);
  }
  // A weight without memory: a trace reads none.
  static Weight weight(std::string name, int64_t experts, int64_t out, int64_t in) {
    return describe_weight(1, std::move(name), *format_by_name("Q4_0"), experts, out, in);
  }
  TestBatch batch_{{landfall::Run{0, 5, 0, 0, true}}};
  ThreadPool pool_{1};
  Arena arena_;
};

TEST_F(TraceTest, AGroupedAttentionBlockReadsLineByLine) {
  const Weight table = weight("token_embd", 1, 100, 32), norm = weight("attn_norm", 1, 1, 32);
  const Weight q = weight("attn_q", 1, 32, 32), k = weight("attn_k", 1, 16, 32), v = weight("attn_v", 1, 16, 32);
  const Weight bias = weight("attn_q.bias", 1, 1, 32);
  const float frequency[4] = {1, 0.5f, 0.25f, 0.125f};
  Trace trace;
  Ctx c = ctx(trace);
  const Tensor x = embedding(c, c.tokens, table);
  const Tensor n = rms_norm(c, x, norm, 1e-5f);
  const RopeSpec spec{0, 8, true, 1.0f, frequency};
  const Tensor qr = rope(c, reshape(c, linear(c, n, q, &bias), {5, 4, 8}), c.positions, spec);
  const Tensor kr = rope(c, reshape(c, linear(c, n, k), {5, 2, 8}), c.positions, spec);
  const Tensor a = attention(c, qr, kr, reshape(c, linear(c, n, v), {5, 2, 8}), 0.1f, 0);
  logits(c, add(c, x, reshape(c, a, {5, 32})), c.logits_rows, table);
  EXPECT_EQ(trace.text(), R"(%1 = embedding(tokens, token_embd) [5, 32]
%2 = rms_norm(%1, attn_norm) {epsilon=1e-05} [5, 32]
%3 = linear(%2, attn_q, attn_q.bias) [5, 32]
%4 = reshape(%3) [5, 4, 8]
%5 = rope(%4, positions) {first=0, dims=8, interleaved=1, magnitude=1} [5, 4, 8]
%6 = linear(%2, attn_k) [5, 16]
%7 = reshape(%6) [5, 2, 8]
%8 = rope(%7, positions) {first=0, dims=8, interleaved=1, magnitude=1} [5, 2, 8]
%9 = linear(%2, attn_v) [5, 16]
%10 = reshape(%9) [5, 2, 8]
%11 = attention(%5, %8, %10) {scale=0.1} [5, 4, 8]
%12 = reshape(%11) [5, 32]
%13 = add(%1, %12) [5, 32]
%14 = logits(%13, logits_rows, token_embd) [5, 100]
)");
  ASSERT_EQ(trace.steps().size(), 14u);
  EXPECT_EQ(trace.steps()[4].attrs.as<RopeSpec>().inverse_frequency,
            frequency);  // exporters read what the text leaves out
  EXPECT_EQ(trace.steps()[4].in, (std::vector<int32_t>{4, kPositionsNode}));
  for (const Trace::Step& step : trace.steps()) EXPECT_EQ(step.out[0].buffer, nullptr) << "nothing is computed";
}

TEST_F(TraceTest, FusionsAreExpandedUnlessKept) {
  const Weight key = weight("k_b", 4, 32, 16), value = weight("v_b", 4, 12, 32);
  const Weight gate = weight("gate", 8, 24, 32), down = weight("down", 8, 32, 24);
  auto text = [&](Trace::Fusions fusions) {
    Trace trace(fusions);
    Ctx c = ctx(trace);
    Tensor q = Tensor::of(DType::f32, {5, 4, 24}), latent = Tensor::of(DType::f32, {5, 32});
    Tensor key_rope = Tensor::of(DType::f32, {5, 8}), scores = Tensor::of(DType::f32, {5, 8});
    trace.input(q, "q");
    trace.input(latent, "latent");
    trace.input(key_rope, "key_rope");
    trace.input(scores, "scores");
    const Tensor attended = latent_attention(c, q, latent, key_rope, nullptr, &key, value, 0.25f, 0);
    slice(c, attended, 2, 3);
    const Routing routing = router(c, scores, nullptr, {RouterSpec::Gate::sigmoid, 3, 4, 2, true, 2.5f});
    softmax(c, experts(c, latent, routing, {&gate, &gate, &down}));
    return trace.text();
  };
  const std::string inputs = R"(%1 = input q [5, 4, 24]
%2 = input latent [5, 32]
%3 = input key_rope [5, 8]
%4 = input scores [5, 8]
)";
  EXPECT_EQ(text(Trace::Fusions::expand), inputs + R"(%5 = head_linear(%2, k_b) {transposed=1} [5, 4, 16]
%6 = concat(%5, %3) [5, 4, 24]
%7 = head_linear(%2, v_b) {transposed=0} [5, 4, 12]
%8 = attention(%1, %6, %7) {scale=0.25} [5, 4, 12]
%9 = slice(%8) {first=2, count=3} [5, 4, 3]
%10, %11 = router(%4) {gate=1, experts_per_row=3, groups=4, groups_kept=2, normalise=1, scale=2.5} [5, 3] i32, [5, 3]
%12 = expert_linear(%2, %10, gate) [5, 3, 24]
%13 = expert_linear(%2, %10, gate) [5, 3, 24]
%14 = swiglu(%12, %13) [5, 3, 24]
%15 = expert_linear(%14, %10, down) [5, 3, 32]
%16 = combine(%15, %11) [5, 32]
%17 = softmax(%16) [5, 32]
)");
  EXPECT_EQ(text(Trace::Fusions::keep),
            inputs + R"(%5 = latent_attention(%1, %2, %3, none, k_b, v_b) {scale=0.25} [5, 4, 12]
%6 = slice(%5) {first=2, count=3} [5, 4, 3]
%7, %8 = router(%4) {gate=1, experts_per_row=3, groups=4, groups_kept=2, normalise=1, scale=2.5} [5, 3] i32, [5, 3]
%9 = experts(%2, %7, %8, gate, gate, down) [5, 32]
%10 = softmax(%9) [5, 32]
)");
}

TEST_F(TraceTest, WhatNobodyNamedIsAConstant) {
  Trace trace;
  Ctx c = ctx(trace);
  const Tensor x = Tensor::of(DType::f32, {5, 3});
  add(c, x, x);
  EXPECT_EQ(trace.text(), "%1 = add(constant, constant) [5, 3]\n");
}

// Every operator can be traced: its cases leave a graph whose values are all made before they are used.
TEST_F(TraceTest, EveryOperatorLeavesAWellFormedGraph) {
  for (const Operator* op : ops_table()) {
    for (const OpCase& each : op->cases()) {
      SCOPED_TRACE(std::string(op->name) + ", " + each.name);
      const TestBatch batch(each.runs);
      Trace trace(Trace::Fusions::keep);
      Arena arena;
      Ctx c = make_ctx(trace, {KernelSet::scalar, false}, pool_, arena, batch.batch(), nullptr);
      OpInputs inputs(1);
      inputs.on_tensor = [&](Tensor& t) { trace.input(t, "x"); };
      const std::vector<Tensor> out = each.run(c, inputs);
      int32_t made = 0;
      bool seen = false;
      for (const Trace::Step& step : trace.steps()) {
        for (int32_t value : step.in) EXPECT_LE(value, made);
        for (const Tensor& t : step.out) EXPECT_EQ(t.node, ++made);
        seen = seen || step.op == op;
      }
      EXPECT_TRUE(seen);
      for (const Tensor& t : out) EXPECT_GT(t.node, 0);
    }
  }
}

}  // namespace
}  // namespace landfall
