// Speculation on the tiny golden models: with drafts of any quality the tokens are those of plain decoding.
#include "runtime/speculation.h"

#include <gtest/gtest.h>

#include "model/testing.h"
#include "runtime/model_drafter.h"
#include "runtime/mtp_drafter.h"
#include "runtime/ngram_drafter.h"
#include "runtime/testing.h"

namespace landfall {
namespace {

EngineOptions engine_options() {
  EngineOptions options;
  options.threads = 2;
  options.context = 256;
  options.cache_positions = 512;
  options.batch = 128;
  options.device.kernels = available_kernel_sets().back();
  return options;
}

std::unique_ptr<Engine> make_engine(Model model, const EngineOptions& options = engine_options()) {
  auto engine = Engine::create(std::make_shared<const Model>(std::move(model)), options);
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  return std::move(*engine);
}

std::unique_ptr<Engine> make_engine(const Golden& golden) {
  return make_engine(load_for_test(write_golden_model(golden, Json())).model);
}

// A model and its multi-token layer.
struct Pair {
  explicit Pair(const Golden& golden, EngineOptions options = engine_options()) {
    LoadedModel loaded = load_for_test(write_golden_model(golden, Json()));
    Model multi_token = load_multi_token_for_test(loaded.source, loaded.model);
    engine = make_engine(std::move(loaded.model), options);
    options.batch = 16;
    layer = make_engine(std::move(multi_token), options);
  }
  std::unique_ptr<Engine> engine, layer;
};

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
    const int64_t position = engine.length(sequence) - static_cast<int64_t>(rows.size());
    if (speculation) speculation->read(position, logits->hidden);
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
  for (int part = 0; part < 3; ++part) EXPECT_TRUE(drafter.propose(20).empty()) << "the prompt is read in parts of 64";
  EXPECT_EQ(drafter.propose(20).size(), 7u) << "one behind each of 6 more rows and the last of the prompt";
  drafter.accept(Tokens(7, 5));
  EXPECT_TRUE(drafter.propose(4).empty());
}

// Logits depend on the last token alone, and the multi-token layer guesses those of the next token: it is always right.
Golden golden_of_pairs() {
  Golden golden = read_golden("deepseek_v3");
  Json tensors{Json::Array{}};
  for (Json tensor : golden.info["tensors"].array()) {
    const std::string& name = tensor["name"].string();
    if (name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight")) tensor.set("a", 0);
    if (name.ends_with("norm.weight")) tensor.set("a", 0).set("b", 1);
    if (name.ends_with("eh_proj.weight")) tensor.set("rule", "identity");
    tensors.push(std::move(tensor));
  }
  golden.info.set("tensors", std::move(tensors));
  return golden;
}

TEST(MtpDrafter, TheAnswerIsThePlainOneHoweverGoodTheGuesses) {
  for (const bool good : {false, true}) {
    const Golden golden = good ? golden_of_pairs() : read_golden("deepseek_v3");
    const Pair pair(golden);
    const Tokens prompt(golden.tokens.begin(), golden.tokens.begin() + golden.prompt);
    for (const SamplerSettings& settings : kSettings) {
      const Outcome plain = decode(*pair.engine, settings, prompt, 120, static_cast<Speculation*>(nullptr));
      const Outcome drafted =
          decode(*pair.engine, settings, prompt, 120, std::make_unique<MtpDrafter>(*pair.layer, settings, prompt));
      EXPECT_EQ(drafted.answer, plain.answer);
      EXPECT_GT(drafted.drafted, 10);
      if (good) {
        EXPECT_GT(drafted.accepted, drafted.drafted * 9 / 10);
        EXPECT_LT(drafted.steps, 30);
      } else {
        EXPECT_LT(drafted.accepted, drafted.drafted / 4) << "a layer of noise knows nothing";
      }
      EXPECT_EQ(pair.layer->free_pages(), pair.layer->total_pages()) << "a drafter gives its pages back";
    }
  }
}

EngineOptions exact_options() {
  EngineOptions options = engine_options();
  options.cache_type = CacheType::f32;
  options.device.exact = true;
  return options;
}

TEST(MtpDrafter, GuessesAsTheReferenceHoweverTheTextIsRead) {
  const Golden golden = read_golden("deepseek_v3");
  const Pair pair(golden, exact_options());
  const auto prompt = std::span(golden.tokens).first(static_cast<size_t>(golden.prompt));
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{29}, prompt.size()}) {
    MtpDrafter drafter(*pair.layer, {}, prompt);
    const auto sequence = pair.engine->open().value();
    auto read = [&](std::span<const int32_t> rows) {
      const int64_t position = pair.engine->length(sequence);
      const Engine::Work work{sequence, rows, 0};
      const auto out = pair.engine->step({&work, 1});
      ASSERT_TRUE(out.ok()) << out.status().message();
      drafter.read(position, out->hidden);
    };
    for (size_t at = 0; at < prompt.size(); at += piece) read(prompt.subspan(at, std::min(piece, prompt.size() - at)));
    for (size_t next = prompt.size(); next < golden.tokens.size(); ++next) {
      const int32_t token = golden.tokens[next];
      drafter.accept({&token, 1});
      const auto row = golden.multi_token.begin() + static_cast<int64_t>(next - 1) * golden.vocab;
      if (next % 3 != 0) {  // now and then nobody asks
        const auto guess = drafter.propose(1 + static_cast<int64_t>(next % 4));
        ASSERT_FALSE(guess.empty());
        EXPECT_EQ(guess[0], std::max_element(row, row + golden.vocab) - row) << "behind token " << next;
      }
      const Tokens rows = {token, 5, 6};  // with two wrong guesses
      read(rows);
      EXPECT_TRUE(pair.engine->truncate(sequence, static_cast<int64_t>(next) + 1).ok());
    }
    pair.engine->close(sequence);
  }
}

TEST(MtpDrafter, BehindAReusedPrefixItGoesByWhatWasRead) {
  const Golden golden = read_golden("deepseek_v3");
  const Pair pair(golden, exact_options());
  const std::span<const int32_t> prompt = std::span(golden.tokens).first(40), rest = prompt.subspan(25);
  std::vector<float> hidden;
  all_logits(pair.engine->model(), prompt, available_kernel_sets().back(), {}, &hidden);
  const size_t width = hidden.size() / prompt.size();
  MtpDrafter behind(*pair.layer, {}, prompt), alone(*pair.layer, {}, rest);
  EXPECT_TRUE(behind.propose(3).empty()) << "nothing was read";
  behind.read(0, std::span(hidden).first(20 * width));
  behind.read(25, std::span(hidden).subspan(25 * width, 10 * width));
  behind.read(30, std::span(hidden).subspan(30 * width));  // some once more
  alone.read(0, std::span(hidden).subspan(25 * width));
  const int32_t token = golden.tokens[40];
  behind.accept({&token, 1});
  alone.accept({&token, 1});
  const auto a = behind.propose(6), b = alone.propose(6);
  EXPECT_EQ(a.size(), 6u);
  EXPECT_EQ(Tokens(a.begin(), a.end()), Tokens(b.begin(), b.end()));
}

TEST(MtpDrafter, GuessesNothingWhereThereIsNoRoom) {
  const Golden golden = read_golden("deepseek_v3");
  const Pair pair(golden);
  const Tokens prompt(250, 5);
  MtpDrafter drafter(*pair.layer, {}, prompt);
  drafter.read(0, std::vector<float>(250 * 64, 0.5f));
  drafter.accept(Tokens{5});
  EXPECT_EQ(drafter.propose(20).size(), 7u) << "one behind each of 6 more rows and the last of the text";
  drafter.read(250, std::vector<float>(7 * 64, 0.5f));
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
