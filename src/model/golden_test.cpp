// Logits of the tiny models against their independent references, with each kernel set, and proof that each feature
// of each model shows: switched off, the logits move by more than a hundred tolerances.
#include <gtest/gtest.h>

#include <cmath>

#include <set>

#include "model/testing.h"

namespace landfall {
namespace {

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, LogitsAgreeWithTheReference) {
  const Golden golden = read_golden(GetParam());
  const LoadedModel loaded = load_for_test(write_golden_model(golden, Json()));
  EXPECT_EQ(loaded.model.notes().size(), golden.multi_token.empty() ? 0u : 1u) << "a multi-token layer is mentioned";
  std::vector<KernelSet> sets = available_kernel_sets();
  sets.push_back(KernelSet::reference);
  for (KernelSet set : sets) {
    const double difference =
        largest_difference(all_logits(loaded.model, golden.tokens, set), golden.logits, golden.vocab);
    EXPECT_LE(difference, golden.tolerance) << name(set);
    std::printf("%-24s %-9s largest difference %.2e of the largest logit\n", GetParam().c_str(),
                std::string(name(set)).c_str(), difference);
    if (golden.multi_token.empty()) continue;
    const double guesses =
        largest_difference(multi_token_logits(loaded, golden.tokens, set), golden.multi_token, golden.vocab);
    EXPECT_LE(guesses, golden.tolerance) << "multi-token layer, " << name(set);
  }
}

TEST_P(GoldenTest, EveryFeatureShows) {
  const Golden golden = read_golden(GetParam());
  EXPECT_FALSE(golden.info["features"].array().empty());
  for (const Json& feature : golden.info["features"].array()) {
    const LoadedModel loaded = load_for_test(write_golden_model(golden, feature["how"]));
    const double moved = largest_difference(all_logits(loaded.model, golden.tokens, available_kernel_sets().back()),
                                            golden.logits, golden.vocab);
    EXPECT_GT(moved, 100 * golden.tolerance) << feature["name"].string();
    // The reference measured the same move.
    EXPECT_NEAR(moved, feature["moved"].number(), 0.02 * feature["moved"].number() + 0.001) << feature["name"].string();
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, GoldenTest, testing::ValuesIn(golden_variants()), variant_name);

TEST(MultiToken, LiesBesideItsModelAndTakesNothingFromIt) {
  const LoadedModel loaded = load_for_test(write_golden_model(read_golden("deepseek_v3"), Json()));
  const int64_t parameters = loaded.model.parameters(), bytes = loaded.model.memory_bytes();
  const Model layer = load_multi_token_for_test(loaded.source, loaded.model);
  EXPECT_EQ(loaded.model.parameters(), parameters);
  EXPECT_EQ(&layer.weight(-1, "output").buffer->host()[0], loaded.model.weight(-1, "output").buffer->host());
  // Less than a third of three layers, one of them dense, with embedding and output matrix; more than a quarter.
  EXPECT_LT(layer.memory_bytes(), bytes / 2);
  EXPECT_GT(layer.memory_bytes(), bytes / 4);
}

TEST(MultiToken, IsDenseWhereTheModelIsDenseThroughout) {
  Golden golden = read_golden("deepseek_v3");
  golden.config.set("first_k_dense_replace", 9);
  Json tensors{Json::Array{}};
  for (const Json& tensor : golden.info["tensors"].array()) {
    for (const char* layer : {"0", "1", "2", "3"}) {  // each has the feed-forward part of the first
      Json copy = tensor;
      const std::string& name = tensor["name"].string();
      const std::string part = "model.layers.0.mlp.";
      if (name.starts_with(part))
        tensors.push(copy.set("name", "model.layers." + std::string(layer) + ".mlp." + name.substr(part.size())));
    }
    if (!tensor["name"].string().starts_with("model.layers.0.mlp.")) tensors.push(tensor);
  }
  golden.info.set("tensors", std::move(tensors));
  const LoadedModel loaded = load_for_test(write_golden_model(golden, Json()));
  for (const float logit : multi_token_logits(loaded, golden.tokens, available_kernel_sets().back()))
    ASSERT_TRUE(std::isfinite(logit));
}

TEST(MultiToken, WhatCarriesNoneIsRefusedByWhatWasLookedFor) {
  auto refused = [](const Golden& golden) {
    const LoadedModel loaded = load_for_test(write_golden_model(golden, Json()));
    const Status status = describe_multi_token(loaded.source, loaded.model).status();
    EXPECT_EQ(status.code(), Code::not_found);
    EXPECT_TRUE(loaded.model.notes().empty());
    return status.message();
  };
  EXPECT_NE(refused(read_golden("llama_tied")).find("'llama'"), std::string::npos);
  Golden golden = read_golden("deepseek_v3");
  Json kept{Json::Array{}};
  for (const Json& tensor : golden.info["tensors"].array()) {
    if (!tensor["name"].string().ends_with("eh_proj.weight")) kept.push(tensor);
  }
  golden.info.set("tensors", std::move(kept));
  EXPECT_NE(refused(golden).find("'model.layers.3.eh_proj.weight'"), std::string::npos);
  golden.config.set("num_nextn_predict_layers", 0);
  EXPECT_NE(refused(golden).find("num_nextn_predict_layers"), std::string::npos);
}

// 2 layers of 16 experts, of which a token uses 4; each has three matrices of 64 x 48.
TEST(GoldenTest, ActiveParametersAreThoseOfTheChosenExperts) {
  for (const char* variant : {"deepseek_v3", "llama_tied"}) {
    const Model model = load_for_test(write_golden_model(read_golden(variant), Json())).model;
    const int64_t idle = model.config().experts > 0 ? 2 * (16 - 4) * 3 * 64 * 48 : 0;
    EXPECT_EQ(model.active_parameters(), model.parameters() - idle) << variant;
  }
}

TEST(GoldenTest, EveryArchitectureHasAGolden) {
  std::set<std::string> covered;
  for (const std::string& variant : golden_variants()) {
    auto found = find_architecture(read_golden(variant).config["model_type"].string());
    ASSERT_TRUE(found.ok()) << found.status().message();
    covered.insert(std::string((*found)->name));
  }
  for (const Architecture* a : arch_table()) EXPECT_TRUE(covered.contains(std::string(a->name))) << a->name;
}

}  // namespace
}  // namespace landfall
