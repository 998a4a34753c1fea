// The scheduler on tiny golden models, step by step, with a clock that the tests set. What a request is answered is
// compared with the same request alone on an engine of its own; tokens are drawn at a temperature, so that other logits
// would soon show.
#include "runtime/scheduler.h"

#include <gtest/gtest.h>

#include <random>

#include "base/testing.h"
#include "model/testing.h"
#include "runtime/drafting.h"
#include "runtime/testing.h"

namespace landfall {
namespace {

class ClockEnv : public EnvOverReal {
 public:
  double now = 100, tick = 0;  // tick: how much later it is at each look
  uint64_t memory = UINT64_MAX;
  double seconds() override { return now += tick; }
  uint64_t available_memory() override { return memory; }
};

struct Answer {
  Tokens tokens;
  Status status;
  FinishReason reason = FinishReason::stop;
  Usage usage;
  int done = 0;         // how often on_done came
  int64_t ended = 0;    // in which step of the test's
  int64_t started = 0;  // likewise, the first token
  std::shared_ptr<std::atomic<bool>> cancel;
};

class SchedulerTest : public testing::TestWithParam<const char*> {
 protected:
  void open(int64_t pages, Scheduler::Options options = {}) {
    scheduler.reset();
    if (!model) {
      Golden golden = read_golden(GetParam());
      golden.config.set("max_position_embeddings", 2048);
      model = std::make_shared<const Model>(std::move(load_for_test(write_golden_model(golden, Json())).model));
    }
    engine = make_engine(pages);
    scheduler = std::make_unique<Scheduler>(env, *engine, options);
  }

  std::unique_ptr<Engine> make_engine(int64_t pages) {
    EngineOptions options;
    options.threads = 1;
    options.context = 1024;
    options.cache_positions = pages * kPagePositions;
    options.batch = 256;
    options.device.kernels = available_kernel_sets().back();
    auto made = Engine::create(model, options);
    EXPECT_TRUE(made.ok()) << made.status().message();
    return std::move(*made);
  }

  Tokens tokens(int64_t count, uint32_t seed) const {
    std::mt19937 random(seed);
    Tokens out(static_cast<size_t>(count));
    for (int32_t& token : out) token = static_cast<int32_t>(random() % static_cast<uint32_t>(model->config().vocab));
    return out;
  }

  static Scheduler::Request request(Tokens prompt, int64_t answer, int32_t priority = 0) {
    Scheduler::Request out;
    out.limit = static_cast<int64_t>(prompt.size()) + answer;
    out.sampler = {.temperature = 1.5f, .seed = prompt.size() + static_cast<uint64_t>(prompt[0])};
    out.prompt = std::move(prompt);
    out.priority = priority;
    return out;
  }

  std::shared_ptr<Answer> submit(Scheduler::Request r) { return submit(*scheduler, std::move(r)); }
  std::shared_ptr<Answer> submit(Scheduler& to, Scheduler::Request r) {
    auto answer = std::make_shared<Answer>();
    answer->cancel = r.cancel;
    r.on_token = [this, answer](int32_t token) {
      if (answer->tokens.empty()) answer->started = steps;
      answer->tokens.push_back(token);
      return true;
    };
    r.on_done = [this, answer](const Status& status, FinishReason reason, const Usage& usage) {
      answer->status = status;
      answer->reason = reason;
      answer->usage = usage;
      answer->ended = steps;
      ++answer->done;
    };
    to.submit(std::move(r));
    return answer;
  }

  void step() {
    ++steps;
    scheduler->step();
    const Scheduler::StepRows& rows = scheduler->last_step();
    EXPECT_LE(rows.prompts, rows.prompt_limit);
    EXPECT_LE(rows.answers + rows.prompts, engine->options().batch);
  }

  void finish() {
    while (!scheduler->idle()) step();
  }

  Tokens alone(Scheduler::Request r) {
    const auto own = make_engine(8);
    Scheduler by_itself(env, *own, {.reuse_prefix = false});
    const auto answer = submit(by_itself, std::move(r));
    while (!by_itself.idle()) by_itself.step();
    EXPECT_TRUE(answer->status.ok()) << answer->status.message();
    return answer->tokens;
  }

  bool latent() const { return model->config().kv_lora > 0; }

  ClockEnv env;
  std::shared_ptr<const Model> model;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Scheduler> scheduler;
  int64_t steps = 0;
};

TEST_P(SchedulerTest, ALongPromptIsReadInPiecesWhileAnswersRun) {
  open(32);
  std::vector<std::shared_ptr<Answer>> answers;
  std::vector<Scheduler::Request> requests;
  for (uint32_t i = 0; i < 3; ++i) requests.push_back(request(tokens(20 + 30 * i, i), 60));
  for (const auto& r : requests) answers.push_back(submit(r));
  step();
  requests.push_back(request(tokens(700, 9), 10));
  answers.push_back(submit(requests.back()));
  const int64_t arrived = steps;
  while (answers[3]->tokens.empty()) {
    step();
    EXPECT_EQ(scheduler->last_step().answers, 3);
    EXPECT_LE(scheduler->last_step().prompts, 32);
  }
  EXPECT_EQ(steps - arrived, 700 / 32 + 1);
  finish();
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i]->tokens, alone(requests[i])) << i;
    EXPECT_EQ(answers[i]->done, 1);
    EXPECT_EQ(answers[i]->reason, FinishReason::length);
  }
}

TEST_P(SchedulerTest, WithoutAnswersAPromptHasTheWholeBatch) {
  open(32);
  const auto answer = submit(request(tokens(600, 1), 1));
  step();
  EXPECT_EQ(scheduler->last_step().prompts, 256);
  finish();
  EXPECT_EQ(steps, 3);
}

TEST_P(SchedulerTest, TheRowsOfAStepFollowTheTimeThatStepsTake) {
  open(32, {.step_seconds = 0.25});
  submit(request(tokens(10, 1), 200));
  step();
  submit(request(tokens(1000, 2), 1));
  const auto rows_of_steps = [&](int count, double seconds) {
    env.tick = seconds;
    std::vector<int64_t> out;
    for (int i = 0; i < count; ++i) {
      step();
      out.push_back(scheduler->last_step().prompts);
    }
    return out;
  };
  EXPECT_EQ(rows_of_steps(3, 0.0625), (std::vector<int64_t>{32, 128, 255}))
      << "as many as fit beside a row of the answer";
  EXPECT_EQ(rows_of_steps(5, 0.5), (std::vector<int64_t>{255, 127, 63, 32, 32})) << "half as many, but not too few";
}

TEST_P(SchedulerTest, TheLongestGapBetweenTokensIsTold) {
  open(8);
  const auto answer = submit(request(tokens(10, 1), 20));
  for (int i = 0; i < 5; ++i) step();
  env.now += 3;
  step();
  env.now += 2;
  finish();
  EXPECT_DOUBLE_EQ(answer->usage.longest_gap_seconds, 3);
  EXPECT_DOUBLE_EQ(answer->usage.decode_seconds, 5);
}

TEST_P(SchedulerTest, RequestsThatBeginAlikeShareAtOnce) {
  open(32);
  const Tokens system = tokens(300, 1);
  std::vector<Scheduler::Request> requests;
  std::vector<std::shared_ptr<Answer>> answers;
  for (uint32_t i = 0; i < 4; ++i) requests.push_back(request(joined(system, tokens(20 + i, 10 + i)), 100));
  for (const auto& r : requests) answers.push_back(submit(r));
  const int64_t before = engine->free_pages();
  while (answers[3]->tokens.empty()) step();
  EXPECT_EQ(before - engine->free_pages(), 2 + 4) << "two pages of all and an open one of each";
  finish();
  EXPECT_EQ(answers[0]->usage.reused_tokens, 0);
  for (size_t i = 1; i < answers.size(); ++i) {
    EXPECT_GE(answers[i]->usage.reused_tokens, 256);
    EXPECT_EQ(answers[i]->tokens, alone(requests[i])) << i;
  }
  scheduler.reset();
  EXPECT_EQ(engine->free_pages(), engine->total_pages());
}

TEST_P(SchedulerTest, RequestsWithOtherAdaptersRunTogetherAndShareNothing) {
  open(32);
  const auto one = std::make_shared<const AdapterWeights>(*model, adapter_of(*model, 2, 1), 1),
             two = std::make_shared<const AdapterWeights>(*model, adapter_of(*model, 2, 2), 2);
  const Tokens prompt = tokens(300, 1);
  std::vector<Scheduler::Request> requests;
  for (const auto& adapter : {std::shared_ptr<const AdapterWeights>(), one, two, one}) {
    requests.push_back(request(prompt, 30));
    requests.back().adapter = adapter;
  }
  std::vector<std::shared_ptr<Answer>> answers;
  for (const auto& r : requests) answers.push_back(submit(r));
  finish();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(answers[i]->usage.reused_tokens, 0) << i;
    EXPECT_EQ(answers[i]->tokens, alone(requests[i])) << i;
  }
  EXPECT_GE(answers[3]->usage.reused_tokens, 256) << "those with the same adapter share";
  EXPECT_EQ(answers[3]->tokens, answers[1]->tokens);
  EXPECT_NE(answers[0]->tokens, answers[1]->tokens);
  EXPECT_NE(answers[1]->tokens, answers[2]->tokens);
  scheduler.reset();
  EXPECT_EQ(engine->free_pages(), engine->total_pages());
}

TEST_P(SchedulerTest, RowsCopiedFromAPageGiveTheLogitsOfAFreshRun) {
  open(32);
  const Tokens first = tokens(200, 1), second = joined(Tokens(first.begin(), first.begin() + 170), tokens(70, 2));
  const auto read = [&](Engine::SequenceId id, const Tokens& all) {
    const auto rest = std::span(all).subspan(static_cast<size_t>(engine->length(id)));
    const Engine::Work work{id, rest, static_cast<int32_t>(std::min<size_t>(rest.size(), 20))};
    const auto logits = engine->step({&work, 1});
    EXPECT_TRUE(logits.ok()) << logits.status().message();
    return std::vector<float>(logits->data, logits->data + logits->rows * logits->vocab);
  };
  const auto fresh = [&](const Tokens& all) {
    const auto id = engine->open(200).value();
    auto out = read(id, all);
    engine->close(id);
    return out;
  };
  PrefixTree tree(engine->cache());
  const auto a = engine->open(200).value(), b = engine->open(200).value();
  read(a, first);
  tree.insert(a, first);
  EXPECT_EQ(tree.adopt_pages(b, second), 128);
  EXPECT_EQ(tree.adopt_rows(b, second), 42);
  EXPECT_EQ(read(b, second), fresh(second));
  const Tokens longer = joined(first, tokens(20, 3));
  EXPECT_EQ(read(a, longer), fresh(longer)) << "the other writes into a page of its own";
}

TEST_P(SchedulerTest, TheNextTurnGoesOnBehindTheAnswer) {
  open(32);
  Tokens conversation = tokens(30, 1);
  for (uint32_t turn = 0; turn < 3; ++turn) {
    const Scheduler::Request r = request(conversation, 20);
    const auto answer = submit(r);
    finish();
    EXPECT_EQ(answer->tokens, alone(r));
    if (turn > 0) {
      // Not the last token of the answer, which nothing followed, and no more than was said since.
      EXPECT_EQ(answer->usage.reused_tokens, static_cast<int64_t>(conversation.size()) - 11);
    }
    conversation = joined(joined(conversation, answer->tokens), tokens(10, 50 + turn));
  }
}

TEST_P(SchedulerTest, AFullCacheForgetsPageByPageAndStaysRight) {
  open(8);
  std::mt19937 random(3);
  std::vector<Tokens> beginnings;
  for (uint32_t i = 0; i < 4; ++i) beginnings.push_back(tokens(150 + 60 * i, i));
  int64_t reused = 0;
  for (uint32_t round = 0; round < 12; ++round) {
    std::vector<Scheduler::Request> requests;
    std::vector<std::shared_ptr<Answer>> answers;
    for (uint32_t i = 0; i < 2; ++i) {
      Tokens prompt = beginnings[random() % 4];
      prompt.resize(prompt.size() - random() % 20);
      requests.push_back(request(joined(prompt, tokens(5 + random() % 50, 100 + 2 * round + i)), 12));
    }
    for (const auto& r : requests) answers.push_back(submit(r));
    finish();
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(answers[i]->tokens, alone(requests[i])) << round;
      reused += answers[i]->usage.reused_tokens;
    }
  }
  EXPECT_GT(reused, 1000);
  EXPECT_LE(engine->free_pages(), 2) << "the cache is kept full";
  scheduler.reset();
  EXPECT_EQ(engine->free_pages(), engine->total_pages());
}

TEST_P(SchedulerTest, HigherPriorityIsReadFirstAndEqualsInOrder) {
  open(32);
  const auto low = submit(request(tokens(300, 1), 5, -1)), first = submit(request(tokens(300, 2), 5)),
             second = submit(request(tokens(300, 3), 5)), high = submit(request(tokens(300, 4), 5, 7));
  finish();
  EXPECT_LT(high->started, first->started);
  EXPECT_LT(first->started, second->started);
  EXPECT_LT(second->started, low->started);
}

TEST_P(SchedulerTest, HigherPriorityTakesTheRoomOfLowerAndNobodyNotices) {
  for (const bool reuse : {true, false}) {
    open(8, {.reuse_prefix = reuse});  // room for one of these at a time
    const std::vector<Scheduler::Request> requests = {request(tokens(400, 1), 300, 1), request(tokens(300, 2), 300),
                                                      request(tokens(350, 3), 250, 1), request(tokens(500, 4), 100, 2)};
    const auto running = submit(requests[0]);
    for (int i = 0; i < 40; ++i) step();
    const auto lower = submit(requests[1]), equal = submit(requests[2]);
    step();
    EXPECT_EQ(scheduler->last_step().answers, 1) << "nobody makes way for an equal";
    const size_t so_far = running->tokens.size();
    const auto higher = submit(requests[3]);
    step();
    EXPECT_EQ(running->tokens.size(), so_far);
    EXPECT_EQ(scheduler->last_step().answers, 0);
    finish();
    EXPECT_LT(higher->ended, running->ended);
    EXPECT_LT(running->ended, equal->ended);
    EXPECT_LT(equal->ended, lower->ended);
    EXPECT_EQ(running->tokens, alone(requests[0])) << "went on where it stood";
    EXPECT_EQ(lower->tokens, alone(requests[1]));
    EXPECT_EQ(higher->tokens, alone(requests[3]));
    EXPECT_EQ(running->usage.answer_tokens, 300);
  }
}

TEST_P(SchedulerTest, CancellingWhileAPromptIsReadFreesItsPages) {
  for (const bool reuse : {true, false}) {
    open(8, {.reuse_prefix = reuse});
    const auto answer = submit(request(tokens(900, 1), 50)), waiting = submit(request(tokens(500, 2), 50)),
               other = submit(request(tokens(600, 3), 50));
    step();
    step();
    waiting->cancel->store(true);
    answer->cancel->store(true);
    step();
    for (const auto& gone : {answer, waiting}) {
      EXPECT_EQ(gone->done, 1);
      EXPECT_EQ(gone->reason, FinishReason::cancelled);
      EXPECT_TRUE(gone->tokens.empty());
    }
    EXPECT_EQ(scheduler->last_step().prompts, 256) << "the other one has room now";
    finish();
    EXPECT_EQ(other->tokens, alone(request(tokens(600, 3), 50)));
    if (!reuse) {
      EXPECT_EQ(engine->free_pages(), engine->total_pages());
    }
    scheduler.reset();
    EXPECT_EQ(engine->free_pages(), engine->total_pages());
  }
}

TEST_P(SchedulerTest, AnEndTokenAndTheReceiverEndAnAnswer) {
  open(8);
  const Tokens whole = alone(request(tokens(10, 1), 40));
  auto stopping = request(tokens(10, 1), 40);
  const auto answer = submit(stopping);
  int left = 7;
  auto by_hand = request(tokens(10, 1), 40);
  FinishReason reason = FinishReason::cancelled;
  by_hand.on_token = [&](int32_t) { return --left > 0; };
  by_hand.on_done = [&](const Status&, FinishReason r, const Usage& usage) {
    reason = r;
    EXPECT_EQ(usage.answer_tokens, 7);
  };
  scheduler->submit(std::move(by_hand));
  finish();
  EXPECT_EQ(reason, FinishReason::stop);
  EXPECT_EQ(answer->tokens, whole);

  const int32_t end = whole[11];
  const auto at = static_cast<size_t>(std::find(whole.begin(), whole.end(), end) - whole.begin());
  open(8, {.ends = {end}});
  const auto ended = submit(request(tokens(10, 1), 40));
  finish();
  EXPECT_EQ(ended->tokens, Tokens(whole.begin(), whole.begin() + static_cast<long>(at)));
  EXPECT_EQ(ended->reason, FinishReason::stop);
}

TEST_P(SchedulerTest, GuessesChangeNoAnswer) {
  const auto drafting = Drafting::load(env, "ngram", Loaded(), nullptr);
  ASSERT_TRUE(drafting.ok());
  env.tick = 0.001;  // a step takes as long whatever is in it: guesses pay
  // Room for some of them at a time; later ones of higher priority send others back.
  // Rows of a latent model that others share are equal within an error only.
  open(16, {.reuse_prefix = GetParam() == std::string("llama_llama3"), .drafting = drafting->get()});
  std::vector<Scheduler::Request> requests;
  std::vector<std::shared_ptr<Answer>> answers;
  for (uint32_t i = 0; i < 8; ++i) {
    const Tokens part = tokens(20 + 9 * i, i % 3);
    requests.push_back(request(joined(part, joined(part, part)), 100 + 40 * i, static_cast<int32_t>(i / 4)));
    if (i % 2 == 0) requests.back().sampler = {.frequency_penalty = -0.3f};  // says what it has said
  }
  for (const auto& r : requests) {
    answers.push_back(submit(r));
    for (int i = 0; i < 5; ++i) step();
  }
  const auto cancelled = submit(request(tokens(30, 1), 200));
  while (cancelled->tokens.empty()) step();
  cancelled->cancel->store(true);
  finish();
  EXPECT_EQ(cancelled->reason, FinishReason::cancelled);
  int64_t accepted = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const Usage& usage = answers[i]->usage;
    EXPECT_EQ(answers[i]->tokens, alone(requests[i])) << i;
    EXPECT_EQ(answers[i]->reason, FinishReason::length);
    EXPECT_EQ(usage.answer_tokens, static_cast<int64_t>(answers[i]->tokens.size()));
    EXPECT_GE(usage.drafted_tokens, usage.accepted_tokens);
    accepted += usage.accepted_tokens;
  }
  EXPECT_GT(accepted, 100);

  // An end token among right guesses ends the answer there, and what is kept of it is what was answered.
  const Tokens& greedy = answers[0]->tokens;
  const int32_t end = greedy.back();
  open(16, {.ends = {end}, .drafting = drafting->get()});
  for (int turn = 0; turn < 2; ++turn) {
    const auto ended = submit(requests[0]);
    finish();
    EXPECT_EQ(ended->tokens, Tokens(greedy.begin(), std::find(greedy.begin(), greedy.end(), end)));
    EXPECT_EQ(ended->reason, FinishReason::stop);
  }
  scheduler.reset();
  EXPECT_EQ(engine->free_pages(), engine->total_pages());
}

TEST_P(SchedulerTest, LeavingCancelsWhatRunsAndWhatWaits) {
  open(8);
  const auto running = submit(request(tokens(400, 1), 600)), waiting = submit(request(tokens(400, 2), 600));
  step();
  scheduler.reset();
  EXPECT_EQ(running->reason, FinishReason::cancelled);
  EXPECT_EQ(waiting->reason, FinishReason::cancelled);
  EXPECT_EQ(engine->free_pages(), engine->total_pages());
}

class MultiTokenTest : public SchedulerTest {};

// Prompts are short enough to be read in the absorbed form alone, so that shared rows are the same to the last bit.
TEST_P(MultiTokenTest, GuessesChangeNoAnswerBehindSharedRowsAndAfterWaiting) {
  Golden golden = read_golden(GetParam());
  golden.config.set("max_position_embeddings", 2048);
  LoadedModel files = load_for_test(write_golden_model(golden, Json()));
  Loaded loaded;
  loaded.source = std::move(files.source);
  loaded.model = model = std::make_shared<const Model>(std::move(files.model));
  loaded.options = make_engine(8)->options();
  const Model layer = load_multi_token_for_test(loaded.source, *model);
  EngineOptions options = loaded.options;
  loaded.memory.cache = 1000;
  env.memory = static_cast<uint64_t>(estimate_memory(layer, options, 0).total()) + 999;
  EXPECT_EQ(Drafting::load(env, "mtp", loaded, nullptr).status().code(), Code::resource_exhausted);
  ++env.memory;
  const auto drafting = Drafting::load(env, "mtp", loaded, nullptr);
  ASSERT_TRUE(drafting.ok()) << drafting.status().message();
  env.tick = 0.001;
  open(6, {.drafting = drafting->get()});  // later ones of higher priority send others back
  std::vector<Scheduler::Request> requests;
  std::vector<std::shared_ptr<Answer>> answers;
  const Tokens system = tokens(50, 9);
  for (uint32_t i = 0; i < 8; ++i) {
    requests.push_back(request(joined(system, tokens(1 + 9 * i, i % 3)), 100, static_cast<int32_t>(i / 4)));
    if (i % 2 == 0) requests.back().sampler = {};
  }
  for (const auto& r : requests) {
    answers.push_back(submit(r));
    for (int i = 0; i < 9; ++i) step();
  }
  finish();
  int64_t reused = 0, drafted = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i]->tokens, alone(requests[i])) << i;
    reused += answers[i]->usage.reused_tokens;
    drafted += answers[i]->usage.drafted_tokens;
  }
  EXPECT_GT(reused, 100);
  EXPECT_GT(drafted, 20);
}

INSTANTIATE_TEST_SUITE_P(Models, MultiTokenTest, testing::Values("deepseek_v3"));

INSTANTIATE_TEST_SUITE_P(Models, SchedulerTest, testing::Values("llama_llama3", "deepseek_v3"));

}  // namespace
}  // namespace landfall
