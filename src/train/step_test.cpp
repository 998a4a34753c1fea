// Loss and gradients of a training step on tiny models: against central differences of the loss in double, full and
// low-rank; the same bits whichever activations are kept and however the loss is cut.
#include "train/step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <optional>

#include "model/random_model.h"
#include "model/testing.h"
#include "tensor/testing.h"

namespace landfall {
namespace {

double sum(const std::vector<double>& numbers) {
  double out = 0;
  for (double n : numbers) out += n;
  return out;
}

class StepTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    golden_ = read_golden(GetParam());
    loaded_.emplace(load_for_test(write_golden_model(golden_, Json())));
    targets_.assign(12, -1);
    for (int32_t r : {0, 2, 3, 5, 7, 9, 10})
      targets_[static_cast<size_t>(r)] = golden_.tokens[static_cast<size_t>(r + 1)];
  }

  const Model& model() const { return loaded_->model; }
  TrainingRows rows() const { return {std::span(golden_.tokens).first(12), kPositions, targets_, kRuns}; }

  Trainable lora() {
    auto out = Trainable::lora(model(), {.rank = 3, .alpha = 6, .targets = {}, .seed = 5}, pool_);
    EXPECT_TRUE(out.ok()) << out.status().message();
    // B away from zero, or A has no gradient.
    for (Parameter& p : out->parameters()) {
      if (!p.name.ends_with(".lora_b")) continue;
      const std::vector<double> values = fixed_numbers<double>(p.value.size(), static_cast<uint32_t>(p.value.size()));
      for (size_t i = 0; i < values.size(); ++i) p.value[i] = static_cast<float>(0.2 * values[i]);
    }
    out->publish(pool_);
    return std::move(*out);
  }
  Trainable full(Precision precision = Precision::f32) {
    auto out = Trainable::full(model(), pool_, precision);
    EXPECT_TRUE(out.ok()) << out.status().message();
    return std::move(*out);
  }

  std::vector<std::vector<double>> gradients(const Trainable& t, KernelSet set, Recompute recompute, int threads = 2,
                                             double balance = 0) {
    ThreadPool pool(threads);
    Step step(model(), t, pool, set, recompute);
    loss_ = step.add_gradients(rows(), std::vector<double>(7, 1 / 7.0), balance);
    std::vector<std::vector<double>> out;
    for (const Parameter& p : t.parameters()) {
      const Tensor g = step.gradient(p);
      out.push_back(g.buffer ? load_doubles(g) : std::vector<double>{});
    }
    return out;
  }

  // Each parameter's gradient along a random direction against central differences of the loss in double.
  void expect_differences(Trainable& t) {
    const auto all = gradients(t, KernelSet::reference, Recompute::layer);
    Step step(model(), t, pool_, KernelSet::reference, Recompute::none);
    EXPECT_EQ(sum(step.losses(rows())), loss_);
    ASSERT_FALSE(t.parameters().empty());
    for (size_t i = 0; i < all.size(); ++i) {
      Parameter& p = t.parameters()[i];
      SCOPED_TRACE(p.name);
      const std::vector<float> kept = p.value;
      ASSERT_EQ(all[i].size(), kept.size());
      const std::vector<double> direction = fixed_numbers<double>(kept.size(), static_cast<uint32_t>(i));
      std::vector<double> difference(kept.size());
      double value[2];
      for (int side : {0, 1}) {
        for (size_t k = 0; k < kept.size(); ++k) {
          p.value[k] = static_cast<float>(kept[k] + (side ? 0x1p-14 : -0x1p-14) * direction[k]);
          difference[k] += (side ? 1.0 : -1.0) * static_cast<double>(p.value[k] * p.factor);
        }
        t.publish(pool_);
        value[side] = sum(step.losses(rows())) / 7.0;
      }
      p.value = kept;
      t.publish(pool_);
      double along = 0, squares = 0, moved = 0;
      for (size_t k = 0; k < kept.size(); ++k) {
        along += all[i][k] * difference[k];
        squares += all[i][k] * all[i][k];
        moved += difference[k] * difference[k];
      }
      const double typical = std::sqrt(squares * moved / static_cast<double>(kept.size()));
      EXPECT_GT(typical, 0);
      EXPECT_LE(std::abs(value[1] - value[0] - along), 1e-5 * typical);
    }
  }

  static constexpr int32_t kPositions[12] = {0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4};
  static constexpr landfall::Run kRuns[2] = {{0, 7, 0, 0, true}, {7, 5, 0, 1, true}};
  Golden golden_;
  std::optional<LoadedModel> loaded_;
  std::vector<int32_t> targets_;
  ThreadPool pool_{2};
  double loss_ = 0;
};

TEST_P(StepTest, FullGradientsAreThoseOfTheLoss) {
  Trainable t = full();
  expect_differences(t);
}

TEST_P(StepTest, LowRankGradientsAreThoseOfTheLoss) {
  Trainable t = lora();
  expect_differences(t);
}

TEST_P(StepTest, AnAdditionOfZeroChangesNothingAndOneMovesTheLoss) {
  auto zero = Trainable::lora(model(), {.rank = 2, .targets = {}}, pool_);
  ASSERT_TRUE(zero.ok());
  const KernelSet set = available_kernel_sets().back();
  const Trainable plain = full();
  EXPECT_NEAR(sum(Step(model(), *zero, pool_, set, Recompute::none).losses(rows())),
              sum(Step(model(), plain, pool_, set, Recompute::none).losses(rows())), 1e-4);
  const Trainable moved = lora();
  EXPECT_GT(std::abs(sum(Step(model(), moved, pool_, set, Recompute::none).losses(rows())) -
                     sum(Step(model(), plain, pool_, set, Recompute::none).losses(rows()))),
            1e-3);
}

TEST_P(StepTest, TheReferenceIsTheModelAsItWasLoaded) {
  const KernelSet set = available_kernel_sets().back();
  const Trainable moved = lora();
  const auto zero = Trainable::lora(model(), {.targets = {}}, pool_);
  ASSERT_TRUE(zero.ok());
  Step step(model(), moved, pool_, set, Recompute::none), plain(model(), *zero, pool_, set, Recompute::none);
  EXPECT_EQ(step.losses(rows(), true), plain.losses(rows(), true));
  EXPECT_NE(step.losses(rows(), true), step.losses(rows()));
}

// A model whose weights are the merged rows has the loss of the one with additions beside it.
TEST_P(StepTest, MergedRowsGiveTheSameLoss) {
  const Trainable moved = lora();
  Trainable merged = full();
  for (Parameter& p : merged.parameters()) {
    const Weight& w = model().weights()[p.seen.id];
    for (int64_t e = 0; e < w.experts; ++e) moved.rows(w, e, 0, w.out, p.value.data() + e * w.out * w.in);
  }
  merged.publish(pool_);
  Step beside(model(), moved, pool_, KernelSet::reference, Recompute::none);
  Step inside(model(), merged, pool_, KernelSet::reference, Recompute::none);
  EXPECT_NEAR(sum(beside.losses(rows())), sum(inside.losses(rows())), 1e-5);
}

TEST_P(StepTest, WhatIsKeptAndHowManyThreadsChangeNoBit) {
  for (int kind : {0, 1, 2}) {
    const Trainable t = kind == 0 ? lora() : full(kind == 1 ? Precision::f32 : Precision::bf16);
    for (KernelSet set : available_kernel_sets()) {
      const auto all = gradients(t, set, Recompute::none);
      const double loss = loss_;
      for (Recompute recompute : {Recompute::layer, Recompute{2}, Recompute{2, true}, Recompute::two_levels}) {
        EXPECT_EQ(gradients(t, set, recompute), all) << name(set);
        EXPECT_EQ(loss_, loss);
      }
      EXPECT_EQ(gradients(t, set, Recompute::none, 1), all);
      EXPECT_EQ(gradients(t, set, Recompute::none, 3), all);
    }
  }
}

TEST_P(StepTest, GradientsInBf16AreNearThoseInFloats) {
  const Trainable floats = full(), rounded = full(Precision::bf16);
  // In this one a rounded row chooses another expert than it did, which moves the gradients around it.
  const double most = GetParam() == "deepseek_v3" ? 0.5 : 0.05;
  for (KernelSet set : available_kernel_sets()) {
    const auto expected = gradients(floats, set, Recompute::none);
    const double loss = loss_;
    const auto got = gradients(rounded, set, Recompute::none);
    EXPECT_NE(loss_, loss);
    EXPECT_NEAR(loss_, loss, 0.01 * loss);
    for (size_t i = 0; i < got.size(); ++i) {
      SCOPED_TRACE(floats.parameters()[i].name + ", " + std::string(name(set)));
      ASSERT_EQ(got[i].size(), expected[i].size());
      if (got[i].empty()) continue;
      double difference = 0, norm = 0;
      for (size_t k = 0; k < got[i].size(); ++k) {
        difference += (got[i][k] - expected[i][k]) * (got[i][k] - expected[i][k]);
        norm += expected[i][k] * expected[i][k];
      }
      EXPECT_LT(std::sqrt(difference / norm), most);
      EXPECT_GT(difference, 0);
    }
  }
}

TEST_P(StepTest, TheLossForBalanceAddsToTheGradientsAndNotToTheSum) {
  const Trainable t = full();
  const KernelSet set = available_kernel_sets().back();
  const auto plain = gradients(t, set, Recompute::none);
  const double loss = loss_;
  const auto balanced = gradients(t, set, Recompute::none, 2, 0.1);
  EXPECT_EQ(loss_, loss);
  EXPECT_EQ(balanced == plain, !GetParam().starts_with("deepseek"));
  for (Recompute recompute : {Recompute::layer, Recompute::two_levels})
    EXPECT_EQ(gradients(t, set, recompute, 3, 0.1), balanced);
}

TEST_P(StepTest, UnknownTargetsAreRefusedWithThoseThatThereAre) {
  const auto t = Trainable::lora(model(), {.targets = {"attn_x"}}, pool_);
  ASSERT_FALSE(t.ok());
  EXPECT_NE(t.status().message().find("attn_output"), std::string::npos) << t.status().message();
}

// The peak with everything kept grows with the depth, with layers computed again by one state a layer, and with two
// levels as the square root of the depth. Estimates that runs are refused by are near to what is then taken.
TEST(StepMemory, LiesOnTheCurvesOfTheEstimate) {
  constexpr int64_t kRows = 256;
  std::vector<int32_t> tokens(kRows), positions(kRows), targets(kRows);
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>(i * 7 % 500);
    positions[i] = static_cast<int32_t>(i);
    targets[i] = static_cast<int32_t>(i * 3 % 500);
  }
  const landfall::Run run{0, kRows, 0, 0, true};
  const TrainingRows rows{tokens, positions, targets, {&run, 1}};
  ThreadPool pool(2);
  constexpr Recompute kFours{4};
  std::map<std::pair<Recompute, int64_t>, double> peak;
  for (const int64_t layers : {4, 16, 36}) {
    const RandomModel what{.shape = {.name = "small",
                                     .architecture = "llama",
                                     .pre_tokenizer = "default",
                                     .width = 32,
                                     .layers = layers,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .ffn = 96,
                                     .vocab = 1024,
                                     .context = 512},
                           .type = "F32"};
    const std::string path = temporary_path("layers_" + std::to_string(layers) + ".gguf");
    ASSERT_TRUE(write_random_model(Env::real(), pool, what, path, nullptr).ok());
    const LoadedModel loaded = load_for_test(path);
    auto trainable = Trainable::full(loaded.model, pool);
    ASSERT_TRUE(trainable.ok());
    for (const Recompute recompute : {Recompute::none, Recompute::layer, kFours, Recompute::two_levels}) {
      Step step(loaded.model, *trainable, pool, available_kernel_sets().back(), recompute);
      step.add_gradients(rows, std::vector<double>(kRows, 1.0 / kRows));
      const auto estimate = static_cast<double>(step.activation_bytes(rows)),
                 measured = static_cast<double>(step.peak_bytes());
      std::printf("%2lld layers, segments of %lld%s: estimate %6.2f MB, peak %6.2f MB, ratio %.2f\n",
                  static_cast<long long>(layers), static_cast<long long>(std::min(recompute.segment, layers)),
                  recompute.two_level ? ", two levels" : "", estimate / 1e6, measured / 1e6, measured / estimate);
      EXPECT_NEAR(measured / estimate, 1, 0.15);
      peak[{recompute, layers}] = measured;
    }
  }
  const double state = kRows * 32 * 4;
  const auto grown = [&](Recompute r) { return (peak[{r, 36}] - peak[{r, 16}]) / state; };
  EXPECT_NEAR(grown(Recompute::layer), 20, 0.15 * 20);
  EXPECT_NEAR(grown(Recompute::two_levels), 2 * (6 - 4), 0.15 * 4);
  EXPECT_NEAR(grown(kFours), 36 / 4 - 16 / 4, 0.15 * 5);
}

INSTANTIATE_TEST_SUITE_P(Tiny, StepTest,
                         testing::Values("llama_llama3", "llama_tied", "qwen2", "qwen3_yarn", "deepseek",
                                         "deepseek_v2_lite", "deepseek_v3"),
                         variant_name);

}  // namespace
}  // namespace landfall
