// Merges against those of the reference trainer (the `tokenizers` library's BpeTrainer), which made the vocabularies of
// tests/golden/tokenizer from the lines beside them.
#include "model/tokenizer/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/json.h"
#include "model/testing.h"
#include "model/tokenizer/tokenizer_spec.h"

namespace landfall {
namespace {

BpeTrainer trainer_by(const std::string& rules) {
  auto pre_tokenizer = PreTokenizer::create(named_text_rules(rules)->patterns);
  LANDFALL_CHECK(pre_tokenizer.ok());
  return BpeTrainer(std::move(*pre_tokenizer));
}

LearnedMerges learn(const BpeTrainer& trainer, int64_t tokens) {
  auto learned = trainer.train(tokens, [](uint64_t, uint64_t) { return true; });
  LANDFALL_CHECK(learned.ok());
  return std::move(*learned);
}

class BpeTrainerGolden : public testing::TestWithParam<const char*> {};

TEST_P(BpeTrainerGolden, learns_the_merges_of_the_reference) {
  const Json golden = read_json_file(kGoldenTokenizers + GetParam() + ".json"),
             lines = read_json_file(kGoldenTokenizers + "lines.json");
  BpeTrainer trainer = trainer_by(GetParam());
  for (const Json& line : lines.array()) trainer.add(line.string());
  const auto reference = parse_tokenizer_json(golden, Json());
  ASSERT_TRUE(reference.ok()) << reference.status().message();
  const LearnedMerges learned = learn(trainer, 1600);
  EXPECT_EQ(learned.tokens.size(), 1600u);
  EXPECT_EQ(learned.merges, reference->merges);
  for (size_t id = 0; id < learned.tokens.size(); ++id) ASSERT_EQ(learned.tokens[id], reference->tokens[id]) << id;
}

INSTANTIATE_TEST_SUITE_P(Pipelines, BpeTrainerGolden,
                         testing::Values("deepseek-v3", "deepseek-llm", "deepseek-coder", "smollm", "gpt-2"));

TEST(BpeTrainer, TheMostFrequentPairGoesFirstAndTiesToTheLowerIds) {
  BpeTrainer trainer = trainer_by("gpt-2");
  trainer.add("abab");
  trainer.add("cd");
  trainer.add("cd");
  trainer.add("ef");
  // ab and cd stand twice, of which ab has the lower ids; then abab stands once, as does ef.
  EXPECT_EQ(learn(trainer, 1000).merges, (std::vector<std::string>{"a b", "c d"}));
}

TEST(BpeTrainer, TheOrderOfTextsDoesNotMatter) {
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i) texts.push_back("lamp " + std::to_string(i * i) + " of harbour " + std::to_string(i));
  BpeTrainer forward = trainer_by("deepseek-v3"), backward = trainer_by("deepseek-v3");
  for (const std::string& text : texts) forward.add(text);
  std::reverse(texts.begin(), texts.end());
  for (const std::string& text : texts) backward.add(text);
  EXPECT_EQ(learn(forward, 500).merges, learn(backward, 500).merges);
}

TEST(BpeTrainer, RunsOfOneLetterMergeFromTheLeft) {
  BpeTrainer trainer = trainer_by("gpt-2");
  for (int i = 0; i < 2; ++i) trainer.add("aaaaa");
  // aa stands in aaaaa as aa aa a; then aa aa; then aaaa a.
  EXPECT_EQ(learn(trainer, 1000).merges, (std::vector<std::string>{"a a", "aa a", "aa aaa"}));
}

TEST(BpeTrainer, CanBeCancelled) {
  BpeTrainer trainer = trainer_by("gpt-2");
  for (int i = 0; i < 2; ++i) trainer.add("abcabc");
  const auto learned = trainer.train(300, [](uint64_t, uint64_t) { return false; });
  EXPECT_EQ(learned.status().code(), Code::cancelled);
}

}  // namespace
}  // namespace landfall
