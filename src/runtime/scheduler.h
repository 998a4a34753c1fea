// Which rows go into the next step of an Engine, for many requests at once (continuous batching; Yu et al., "Orca",
// OSDI 2022). It knows token ids, sequences and priorities, and nothing of text.
//
// A step holds the rows of running answers first. What is left of it goes to prompts, in order of priority and then of
// arrival. While answers run, prompts get only as many rows as keep the step to Options::step_seconds (chunked prefill;
// Agrawal et al., arXiv 2308.16369): the time that the last steps took says how many those are. How a prompt is cut
// changes no answer (see Engine), so neither does the speed of the machine.
//
// A request starts when the pages for its longest answer are free or can be freed, so that none runs out of cache while
// others hold it; until then it waits, and later ones of its priority behind it. For a request of higher priority,
// running ones of lower priority go back to their place in the queue; what they have read stays in the PrefixTree as
// long as there is room, and they go on where they stood with the same tokens as ever.
//
// Requests that begin alike share their cache pages through the PrefixTree, also while they run: one that comes to a
// page which another is just reading waits for it. A finished request leaves its rows there for the next turn. Requests
// with different adapters share none.
//
// With a Drafting, a running answer puts guessed tokens into the step behind its last one, and goes on by as many as
// were right; the rows of the others leave the cache at once.
//
// Belongs to one thread, which steps the Engine with it. Env, Engine and Drafting outlive it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "runtime/adapter_weights.h"
#include "runtime/engine.h"
#include "runtime/prefix_tree.h"
#include "runtime/sampler.h"
#include "runtime/speculation.h"

namespace landfall {

class Drafting;

enum class FinishReason : uint8_t { stop, length, cancelled };
std::string_view name(FinishReason reason);  // "stop", "length", "cancelled"

struct Usage {
  int64_t prompt_tokens = 0, answer_tokens = 0;
  int64_t reused_tokens = 0;                        // of the prompt, found in the cache
  int64_t drafted_tokens = 0, accepted_tokens = 0;  // guessed and read, and those that became part of the answer
  double prefill_seconds = 0, decode_seconds = 0;
  double longest_gap_seconds = 0;  // between one token of the answer and the next
};

class Scheduler {
 public:
  struct Options {
    double step_seconds = 0.25;  // of a step that reads prompts while answers run
    bool reuse_prefix = true;
    std::vector<int32_t> ends;           // tokens that end an answer, ascending
    const Drafting* drafting = nullptr;  // null: tokens come one a step
  };

  struct Request {
    std::vector<int32_t> prompt;  // not empty
    SamplerSettings sampler;
    int64_t limit = 0;     // positions that prompt and answer take at most: more than the prompt, within the context
    int32_t priority = 0;  // higher goes first
    std::shared_ptr<const AdapterWeights> adapter;  // of the engine's model; null: none
    std::shared_ptr<std::atomic<bool>> cancel = std::make_shared<std::atomic<bool>>(false);  // by any thread
    // Called in step(): on_token for each token of the answer, false ends it there; then exactly one on_done. They do
    // not call the Scheduler.
    std::function<bool(int32_t token)> on_token;
    std::function<void(const Status& status, FinishReason reason, const Usage& usage)> on_done;
  };

  Scheduler(Env& env, Engine& engine, Options options);
  ~Scheduler();  // cancels what is left

  void submit(Request request);
  bool idle() const { return waiting_.empty() && running_.empty(); }
  // Ends what is cancelled, starts what has room, and does one step.
  void step();

  struct StepRows {
    int64_t answers = 0, prompts = 0;
    int64_t prompt_limit = 0;  // how many rows of prompts this step could hold
  };
  const StepRows& last_step() const { return last_step_; }

 private:
  struct Job;
  using Jobs = std::vector<std::unique_ptr<Job>>;

  void end_cancelled(Jobs& jobs);
  void admit();
  void preempt_last();
  void plan();
  void add_answer_rows(Job& job, int64_t answers, int64_t most_drafts);
  void add_prompt_rows(Job& job);
  bool adopt(Job& job);
  void pace(double seconds);
  void accept(Job& job, int64_t first_logits_row, const Engine::Logits& logits);
  void keep_pages(Job& job, bool open_page);
  void finish(Job& job, const Status& status, FinishReason reason);

  Env& env_;
  Engine& engine_;
  const Options options_;
  PrefixTree tree_;
  Jobs waiting_, running_;  // in order of priority, then of arrival
  uint64_t arrivals_ = 0;
  int64_t prompt_rows_;  // for a step in which answers run
  std::vector<Engine::Work> work_;
  std::vector<Job*> owners_;  // of work_
  int64_t room_ = 0;          // rows that the step being planned can still take
  SamplerScratch scratch_;
  std::vector<int32_t> drawn_;
  StepCost answer_cost_;  // of steps without prompts
  StepRows last_step_;
};

}  // namespace landfall
