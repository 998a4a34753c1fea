// Speculation on the tiny golden models: with drafts of any quality the tokens are those of plain decoding.
#include "runtime/speculation.h"

#include <gtest/gtest.h>

#include "model/golden_model_test.h"
#include "runtime/model_drafter.h"
#include "runtime/ngram_drafter.h"

namespace landfall {
namespace {

using Tokens = std::vector<int32_t>;

std::unique_ptr<Engine> make_engine(const Golden& golden) {
  EngineOptions options;
  options.threads = 2;
  options.context = 256;
  options.cache_positions = 512;
  options.batch = 128;
  options.device.kernels = available_kernel_sets().back();
  auto model = std::make_shared<const Model>(load_for_test(write_golden_model(golden, Json())).model);
  auto engine = Engine::create(std::move(model), options);
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  return std::move(*engine);
}

struct Outcome {
  Tokens answer;
  int64_t steps = 0, drafted = 0, accepted = 0;
};

// Decodes `count` tokens behind the prompt, with the drafts of `speculation` or, null, without.
Outcome decode(Engine& engine, const SamplerSettings& settings, const Tokens& prompt, size_t count,
               Speculation* speculation) {
  StepCost cost;  // rows are nearly free: drafts always pay
  for (int64_t rows = 1; rows < 100; ++rows) cost.observe(rows, 1 + 0.001 * static_cast<double>(rows));
  Sampler sampler(settings, prompt);
  SamplerScratch scratch;
  Outcome out;
  const auto sequence = engine.open(0).value();
  Tokens rows = prompt;
  Tokens draft;
  while (out.answer.size() < count) {
    const Engine::Work work{sequence, rows, static_cast<int32_t>(draft.size() + 1)};
    const auto logits = engine.step({&work, 1});
    EXPECT_TRUE(logits.ok()) << logits.status().message();
    Tokens came;
    EXPECT_TRUE(draw_tokens(*logits, 0, draft, sampler, scratch, came).ok());
    out.answer.insert(out.answer.end(), came.begin(), came.end());
    ++out.steps;
    out.drafted += static_cast<int64_t>(draft.size());
    out.accepted += static_cast<int64_t>(came.size()) - 1;
    const auto length = static_cast<int64_t>(prompt.size() + out.answer.size()) - 1;
    EXPECT_TRUE(engine.truncate(sequence, length).ok());
    rows = {out.answer.back()};
    draft.clear();
    if (!speculation) continue;
    speculation->accept(came);
    const auto guess = speculation->draft(engine.options().context - length - 1, 1, cost);
    draft.assign(guess.begin(), guess.end());
    rows.insert(rows.end(), draft.begin(), draft.end());
  }
  out.answer.resize(count);
  engine.close(sequence);
  return out;
}

Outcome decode(Engine& engine, const SamplerSettings& settings, const Tokens& prompt, size_t count,
               std::unique_ptr<Drafter> drafter) {
  Speculation speculation(Env::real(), std::move(drafter));
  return decode(engine, settings, prompt, count, &speculation);
}

const std::vector<SamplerSettings> kSettings = {
    {},
    {.repetition_penalty = 1.3f},
    {.temperature = 0.5f, .seed = 3},
    {.temperature = 1, .top_k = 20, .top_p = 0.9f, .frequency_penalty = 0.4f, .presence_penalty = 0.2f, .seed = 4}};

class SpeculationTest : public testing::TestWithParam<const char*> {};

TEST_P(SpeculationTest, TheAnswerIsThePlainOneHoweverGoodTheGuesses) {
  Golden golden = read_golden(GetParam());
  const auto engine = make_engine(golden), same = make_engine(golden);
  golden.info.set("seed", golden.info["seed"].integer() + 1);
  const auto other = make_engine(golden);
  Tokens prompt(golden.tokens.begin(), golden.tokens.begin() + golden.prompt);
  prompt.insert(prompt.end(), prompt.begin(), prompt.begin() + golden.prompt / 2);
  const auto vocab = static_cast<int32_t>(golden.vocab);
  for (const SamplerSettings& settings : kSettings) {
    const Outcome plain = decode(*engine, settings, prompt, 120, static_cast<Speculation*>(nullptr));
    EXPECT_EQ(plain.steps, 120);
    const Outcome ngram = decode(*engine, settings, prompt, 120, std::make_unique<NgramDrafter>(prompt));
    EXPECT_EQ(ngram.answer, plain.answer);
    const Outcome twin =
        decode(*engine, settings, prompt, 120, std::make_unique<ModelDrafter>(*same, vocab, settings, prompt));
    EXPECT_EQ(twin.answer, plain.answer);
    EXPECT_EQ(twin.accepted, twin.drafted) << "the same model draws the same tokens";
    EXPECT_LT(twin.steps, 20);
    const Outcome stranger =
        decode(*engine, settings, prompt, 120, std::make_unique<ModelDrafter>(*other, vocab, settings, prompt));
    EXPECT_EQ(stranger.answer, plain.answer);
    EXPECT_GT(stranger.drafted, 10);
    EXPECT_LT(stranger.accepted, stranger.drafted / 4);
    EXPECT_EQ(same->free_pages(), same->total_pages()) << "a drafter gives its pages back";
  }
}

TEST_P(SpeculationTest, AModelThatHasNoRoomLeftGuessesNothing) {
  const Golden golden = read_golden(GetParam());
  const auto engine = make_engine(golden);
  const Tokens prompt(250, 5);
  ModelDrafter drafter(*engine, static_cast<int32_t>(golden.vocab), {}, prompt);
  EXPECT_EQ(drafter.propose(20).size(), 7u) << "one behind each of 6 more rows and the last of the prompt";
  drafter.accept(Tokens(7, 5));
  EXPECT_TRUE(drafter.propose(4).empty());
}

INSTANTIATE_TEST_SUITE_P(Models, SpeculationTest, testing::Values("llama_llama3", "deepseek_v3"));

TEST(NgramDrafter, TheLongestMatchGoesOnAndTheLatestOfEqualOnes) {
  auto propose = [](const Tokens& tokens, int64_t most) {
    NgramDrafter drafter(tokens);
    const auto out = drafter.propose(most);
    return Tokens(out.begin(), out.end());
  };
  EXPECT_EQ(propose({1, 2, 3, 4, 5, 9, 2, 3}, 3), (Tokens{4, 5, 9}));
  EXPECT_EQ(propose({1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3}, 2), (Tokens{4, 9})) << "three tokens match there";
  EXPECT_EQ(propose({1, 2, 3, 8, 2, 3, 7, 2, 3}, 1), (Tokens{7}));
  EXPECT_EQ(propose({6, 7, 6, 7, 6}, 5), (Tokens{7, 6, 7, 6, 7})) << "a loop goes on as one";
  EXPECT_TRUE(propose({1, 2, 3, 4}, 3).empty());
  EXPECT_TRUE(propose({3, 1, 3}, 3).empty()) << "a single token is no match";
  EXPECT_TRUE(propose({}, 3).empty());
  NgramDrafter grown(Tokens{1, 2, 3});
  grown.accept(Tokens{9});
  grown.accept(Tokens{1, 2});
  EXPECT_EQ(grown.propose(1)[0], 3);
}

StepCost cost_of(double fixed, double row) {
  StepCost out;
  for (int i = 0; i < 200; ++i) out.observe(1 + i % 9, fixed + row * (1 + i % 9));
  return out;
}

TEST(StepCost, IsTheLineThroughTheSteps) {
  const StepCost cost = cost_of(3, 0.5);
  EXPECT_NEAR(cost.seconds(1), 3.5, 0.05);
  EXPECT_NEAR(cost.seconds(12), 9, 0.2);
  StepCost one_size;
  for (int i = 0; i < 9; ++i) one_size.observe(1, 2);
  EXPECT_NEAR(one_size.seconds(1), 2, 1e-9);
  EXPECT_NEAR(one_size.seconds(5), 4, 1e-9) << "believed until others are seen";
}

TEST(DraftLength, FollowsFromWhatStepsAndGuessesCost) {
  const StepCost cheap = cost_of(1, 0.02), dear = cost_of(0.1, 1);
  EXPECT_EQ(draft_length(1, 0, 1, cheap, 15), 15);
  EXPECT_EQ(draft_length(0, 0, 1, cheap, 15), 0);
  EXPECT_EQ(draft_length(0.7, 0, 1, dear, 15), 0) << "rows cost as much as steps";
  EXPECT_GT(draft_length(0.9, 0, 1, cheap, 15), draft_length(0.5, 0, 1, cheap, 15));
  EXPECT_GT(draft_length(0.9, 0, 1, cheap, 15), draft_length(0.9, 0.1, 1, cheap, 15));
  EXPECT_EQ(draft_length(0.9, 0.95, 1, cheap, 15), 0) << "the drafter costs as much as the model";
  EXPECT_EQ(draft_length(0.4, 0, 200, cheap, 15), 0) << "a full step gains less than it pays";
}

}  // namespace
}  // namespace landfall
