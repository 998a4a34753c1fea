// Whole tiny models under the trace and the count reading: text as expected, figures as by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "export/trace.h"
#include "model/testing.h"
#include "tensor/testing.h"

namespace landfall {
namespace {

// A model as its files describe it; no weight is loaded, since neither reading looks at one.
class Readings : public testing::Test {
 protected:
  static Model describe(const std::string& variant) {
    auto source = ModelSource::open(Env::real(), write_golden_model(read_golden(variant), Json()));
    EXPECT_TRUE(source.ok()) << source.status().message();
    auto model = describe_model(*source);
    EXPECT_TRUE(model.ok()) << model.status().message();
    return std::move(*model);
  }

  Ctx ctx(Reader& reader, const TestBatch& batch, KvView* cache = nullptr) {
    return make_ctx(reader, {KernelSet::scalar, false}, pool_, arena_, batch.batch(), cache);
  }

  // The trace of one layer from a named state.
  std::string layer_text(const Model& model, int64_t layer) {
    const TestBatch batch({landfall::Run{0, 5, 0, 0, true}});
    Trace trace;
    Ctx c = ctx(trace, batch);
    Tensor state = Tensor::of(DType::f32, {5, model.config().width});
    trace.input(state, "state");
    model.architecture().layer(c, model, layer, state);
    return trace.text();
  }

  Trace whole(const Model& model, int32_t rows, Trace::Fusions fusions = Trace::Fusions::expand) {
    const TestBatch batch({landfall::Run{0, rows, 0, 0, true}});
    Trace trace(fusions);
    Ctx c = ctx(trace, batch);
    forward(c, model);
    return trace;
  }

  Cost count(const Model& model, int32_t rows) {
    const TestBatch batch({landfall::Run{0, rows, 0, 0, true}});
    CountReader reader;
    Ctx c = ctx(reader, batch);
    forward(c, model);
    return reader.total();
  }

  ThreadPool pool_{1};
  Arena arena_;
};

TEST_F(Readings, ALlamaLayerReadsAsExpected) {
  EXPECT_EQ(layer_text(describe("llama_llama3"), 1), R"(%1 = input state [5, 128]
%2 = rms_norm(%1, model.layers.1.input_layernorm.weight) {epsilon=1e-05} [5, 128]
%3 = linear(%2, model.layers.1.self_attn.q_proj.weight) [5, 128]
%4 = reshape(%3) [5, 4, 32]
%5 = linear(%2, model.layers.1.self_attn.k_proj.weight) [5, 64]
%6 = reshape(%5) [5, 2, 32]
%7 = linear(%2, model.layers.1.self_attn.v_proj.weight) [5, 64]
%8 = reshape(%7) [5, 2, 32]
%9 = rope(%4, positions) {first=0, dims=32, interleaved=0, magnitude=1} [5, 4, 32]
%10 = rope(%6, positions) {first=0, dims=32, interleaved=0, magnitude=1} [5, 2, 32]
%11 = attention(%9, %10, %8) {scale=0.17677669} [5, 4, 32]
%12 = reshape(%11) [5, 128]
%13 = linear(%12, model.layers.1.self_attn.o_proj.weight) [5, 128]
%14 = add(%1, %13) [5, 128]
%15 = rms_norm(%14, model.layers.1.post_attention_layernorm.weight) {epsilon=1e-05} [5, 128]
%16 = linear(%15, model.layers.1.mlp.gate_proj.weight) [5, 160]
%17 = linear(%15, model.layers.1.mlp.up_proj.weight) [5, 160]
%18 = swiglu(%16, %17) [5, 160]
%19 = linear(%18, model.layers.1.mlp.down_proj.weight) [5, 128]
%20 = add(%14, %19) [5, 128]
)");
}

// The expanded form of latent attention, the router with its bias, chosen experts and the shared one.
TEST_F(Readings, AnExpertLayerOfV3ReadsAsExpected) {
  EXPECT_EQ(layer_text(describe("deepseek_v3"), 1), R"(%1 = input state [5, 64]
%2 = rms_norm(%1, model.layers.1.input_layernorm.weight) {epsilon=1e-06} [5, 64]
%3 = linear(%2, model.layers.1.self_attn.q_a_proj.weight) [5, 40]
%4 = rms_norm(%3, model.layers.1.self_attn.q_a_layernorm.weight) {epsilon=1e-06} [5, 40]
%5 = linear(%4, model.layers.1.self_attn.q_b_proj.weight) [5, 128]
%6 = reshape(%5) [5, 4, 32]
%7 = rope(%6, positions) {first=16, dims=16, interleaved=1, magnitude=1} [5, 4, 32]
%8 = linear(%2, model.layers.1.self_attn.kv_a_proj_with_mqa.weight) [5, 48]
%9 = slice(%8) {first=0, count=32} [5, 32]
%10 = rms_norm(%9, model.layers.1.self_attn.kv_a_layernorm.weight) {epsilon=1e-06} [5, 32]
%11 = reshape(%8) [5, 1, 48]
%12 = rope(%11, positions) {first=32, dims=16, interleaved=1, magnitude=1} [5, 1, 48]
%13 = reshape(%12) [5, 48]
%14 = slice(%13) {first=32, count=16} [5, 16]
%15 = head_linear(%10, model.layers.1.self_attn.kv_b_proj.weight[key_up]) {transposed=0} [5, 4, 16]
%16 = concat(%15, %14) [5, 4, 32]
%17 = head_linear(%10, model.layers.1.self_attn.kv_b_proj.weight[value_up]) {transposed=0} [5, 4, 16]
%18 = attention(%7, %16, %17) {scale=0.33125377} [5, 4, 16]
%19 = reshape(%18) [5, 64]
%20 = linear(%19, model.layers.1.self_attn.o_proj.weight) [5, 64]
%21 = add(%1, %20) [5, 64]
%22 = rms_norm(%21, model.layers.1.post_attention_layernorm.weight) {epsilon=1e-06} [5, 64]
%23 = linear(%22, model.layers.1.mlp.gate.weight) [5, 16]
%24, %25 = router(%23, model.layers.1.mlp.gate.e_score_correction_bias) {gate=1, experts_per_row=4, groups=4, groups_kept=2, normalise=1, scale=2.5} [5, 4] i32, [5, 4]
%26 = expert_linear(%22, %24, model.layers.1.mlp.experts.*.gate_proj.weight) [5, 4, 48]
%27 = expert_linear(%22, %24, model.layers.1.mlp.experts.*.up_proj.weight) [5, 4, 48]
%28 = swiglu(%26, %27) [5, 4, 48]
%29 = expert_linear(%28, %24, model.layers.1.mlp.experts.*.down_proj.weight) [5, 4, 64]
%30 = combine(%29, %25) [5, 64]
%31 = linear(%22, model.layers.1.mlp.shared_experts.gate_proj.weight) [5, 48]
%32 = linear(%22, model.layers.1.mlp.shared_experts.up_proj.weight) [5, 48]
%33 = swiglu(%31, %32) [5, 48]
%34 = linear(%33, model.layers.1.mlp.shared_experts.down_proj.weight) [5, 64]
%35 = add(%30, %34) [5, 64]
%36 = add(%21, %35) [5, 64]
)");
}

TEST_F(Readings, NoTwoWeightsOfAModelReadAlike) {
  for (const std::string& variant : golden_variants()) {
    const Model model = describe(variant);
    std::set<std::string> names;
    for (const Weight& w : model.weights()) EXPECT_TRUE(names.insert(w.name).second) << variant << ": " << w.name;
  }
}

// An exporter traces twice and calls the sizes that moved dimensions: nothing else may move.
TEST_F(Readings, OnlyTheNumberOfRowsDependsOnTheBatch) {
  for (const std::string& variant : golden_variants()) {
    SCOPED_TRACE(variant);
    const Model model = describe(variant);
    for (Trace::Fusions fusions : {Trace::Fusions::expand, Trace::Fusions::keep}) {
      const Trace five = whole(model, 5, fusions), seven = whole(model, 7, fusions);
      ASSERT_EQ(five.steps().size(), seven.steps().size());
      EXPECT_GT(five.steps().size(), 10u * static_cast<size_t>(model.config().layers));
      for (size_t i = 0; i < five.steps().size(); ++i) {
        const Trace::Step &a = five.steps()[i], &b = seven.steps()[i];
        EXPECT_EQ(a.op, b.op);
        EXPECT_EQ(a.in, b.in);
        EXPECT_EQ(a.weights, b.weights);
        ASSERT_EQ(a.out.size(), b.out.size());
        for (size_t o = 0; o < a.out.size(); ++o) {
          std::array<int64_t, 4> moved = a.out[o].shape;
          EXPECT_EQ(moved[0], 5);
          moved[0] = 7;
          EXPECT_EQ(moved, b.out[o].shape) << a.op->name;
        }
      }
      const Trace::Step& last = five.steps().back();
      EXPECT_EQ(last.op->name, "logits");
      EXPECT_EQ(last.out[0].last(), model.config().vocab);
    }
  }
}

TEST_F(Readings, CountOfTheLlamaAsByHand) {
  const double rows = 5, width = 128, heads = 4, groups = 2, head = 32, ffn = 160, vocab = 96, layers = 3;
  const double pairs = 15;  // of a row and a position it sees: 1 + 2 + 3 + 4 + 5
  const double matrices = width * heads * head + 2 * width * groups * head + heads * head * width + 3 * width * ffn;
  const double layer = 2 * rows * matrices                   // two operations a number and row
                       + 2 * 4 * rows * width                // two norms
                       + 3 * rows * (heads + groups) * head  // rope of q and k
                       + 2 * pairs * heads * (head + head)   // scores and weighted values
                       + 5 * rows * ffn + 2 * rows * width;  // swiglu, two sums
  const Cost cost = count(describe("llama_llama3"), 5);
  EXPECT_EQ(cost.operations, layers * layer + 4 * rows * width + 2 * rows * width * vocab);
  EXPECT_EQ(cost.weight_bytes,
            4 * (layers * (matrices + 2 * width) + width + width * vocab + rows * width /* embedded rows */));
  EXPECT_EQ(cost.cache_bytes, 0);
}

TEST_F(Readings, CountOfV3AsByHand) {
  const double rows = 5, width = 64, q_lora = 40, heads = 4, nope = 16, rope = 16, value = 16, lora = 32, ffn = 160;
  const double experts = 16, chosen = 4, expert = 48, shared = 48, vocab = 96, layers = 3, dense_layers = 1;
  const double pairs = 15;
  const double q = heads * (nope + rope), kv = lora + rope;
  const double projections = width * q_lora + q_lora * q + width * kv + heads * value * width;
  const double attention =
      2 * rows * projections + 2 * rows * heads * (nope + value) * lora  // latents become keys, values
      + 2 * pairs * heads * (nope + rope + value) + 4 * rows * (q_lora + lora) + 3 * rows * (q + kv);
  const double around = 2 * 4 * rows * width + 2 * rows * width;
  const double dense = 2 * rows * 3 * width * ffn + 5 * rows * ffn;
  const double sparse = 2 * rows * width * experts                                           // router's scores
                        + rows * chosen * (2 * 3 * width * expert + 5 * expert + 2 * width)  // chosen experts
                        + rows * (2 * 3 * width * shared + 5 * shared + width);              // shared one
  const Cost cost = count(describe("deepseek_v3"), 5);
  EXPECT_EQ(cost.operations, layers * (attention + around) + dense_layers * dense + (layers - dense_layers) * sparse +
                                 4 * rows * width + 2 * rows * width * vocab);
  // Bytes as they lie in memory: 16 rows to a panel, columns to a multiple of 32: 40 outputs take 48, 40 or 48
  // inputs 64.
  const double attention_numbers = 48 * width + q * 64 + kv * width + heads * value * width +
                                   heads * (nope + value) * lora + (q_lora + lora + 2 * width);
  const double sparse_matrix = 2 * expert * width + width * 64, used = experts * (1 - std::pow(0.75, rows));
  const double sparse_numbers = experts * width + used * sparse_matrix + sparse_matrix;
  EXPECT_NEAR(cost.weight_bytes,
              4 * (layers * attention_numbers + dense_layers * 3 * width * ffn +
                   (layers - dense_layers) * sparse_numbers + width + width * vocab + rows * width),
              1e-6);
}

// What a step of decoding reads: one row behind 40 cached ones.
TEST_F(Readings, CountOfADecodeStepReadsTheCache) {
  const Model llama = describe("llama_llama3"), v3 = describe("deepseek_v3");
  for (const Model* model : {&llama, &v3}) {
    std::vector<int32_t> widths;
    for (const CacheSlot& slot : model->architecture().cache(model->config())) widths.push_back(slot.width);
    TestCache cache(CacheType::bf16, widths, 128);
    const TestBatch batch({landfall::Run{0, 1, 40, 0, false}});
    CountReader reader;
    Ctx c = ctx(reader, batch, &cache);
    forward(c, *model);
    // 41 positions, bf16: llama keeps keys and values of 2 groups of 32, V3 one latent row of 32 + 16.
    EXPECT_EQ(reader.total().cache_bytes, 3.0 * 41 * 2 * (model == &llama ? 2 * 2 * 32 : 32 + 16));
  }
}

}  // namespace
}  // namespace landfall
