// Logits of the tiny models against their independent references, with each kernel set, and proof that each feature
// of each model shows: switched off, the logits move by more than a hundred tolerances.
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "model/golden_model_test.h"
#include "tensor/access.h"
#include "tensor/operator.h"

namespace landfall {
namespace {

std::vector<float> all_logits(const Model& model, const std::vector<int32_t>& tokens, KernelSet set) {
  RunReader reader;
  ThreadPool pool(2);
  Arena arena;
  std::vector<int32_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const Run run{0, static_cast<int32_t>(tokens.size()), 0, 0, true};
  const Batch batch{tokens, positions, {&run, 1}, positions};
  Ctx ctx = make_ctx(reader, {set, true}, pool, arena, batch, nullptr);
  const std::vector<double> out = load_doubles(forward(ctx, model));
  return {out.begin(), out.end()};
}

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, LogitsAgreeWithTheReference) {
  const Golden golden = read_golden(GetParam());
  const LoadedModel loaded = load_for_test(write_golden_model(golden, Json()));
  const bool multi_token = golden.config["num_nextn_predict_layers"].integer() > 0;
  EXPECT_EQ(loaded.model.notes().size(), multi_token ? 1u : 0u) << "the layer that is skipped is mentioned";
  std::vector<KernelSet> sets = available_kernel_sets();
  sets.push_back(KernelSet::reference);
  for (KernelSet set : sets) {
    const double difference =
        largest_difference(all_logits(loaded.model, golden.tokens, set), golden.logits, golden.vocab);
    EXPECT_LE(difference, golden.tolerance) << name(set);
    std::printf("%-24s %-9s largest difference %.2e of the largest logit\n", GetParam().c_str(),
                std::string(name(set)).c_str(), difference);
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

std::string test_name(const testing::TestParamInfo<std::string>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Variants, GoldenTest, testing::ValuesIn(golden_variants()), test_name);

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
