#include "runtime/scheduler.h"

#include <algorithm>

#include "runtime/drafting.h"

namespace landfall {
namespace {

// Prompts from this length on are read with latent attention in its expanded form, which costs fewer operations for
// many rows; the answer always takes the absorbed form.
constexpr int64_t kExpandedFrom = 128;

// Rows of prompts in a step beside answers, at first and at least. Fewer would read most of the experts, and expand all
// latent rows before them, for a few rows: on 2 cores with AVX2 V2-Lite reads 64 rows in 1.1 s, 32 in 0.7 and 16 in
// 0.43, but a prompt of 1,900 tokens in 33, 39 and 65 s.
constexpr int64_t kFewestPromptRows = 32;

int64_t pages_for(int64_t positions) { return (positions + kPagePositions - 1) / kPagePositions; }

}  // namespace

std::string_view name(FinishReason reason) {
  constexpr std::string_view kNames[] = {"stop", "length", "cancelled"};
  return kNames[static_cast<size_t>(reason)];
}

struct Scheduler::Job {
  Job(Request r, uint64_t number)
      : request(std::move(r)),
        arrival(number),
        prompt(static_cast<int64_t>(request.prompt.size())),
        sampler(request.sampler, request.prompt),
        tokens(std::move(request.prompt)) {
    usage.prompt_tokens = prompt;
    tokens.reserve(static_cast<size_t>(request.limit));  // a step takes no memory
  }

  Request request;  // without its prompt
  const uint64_t arrival;
  const int64_t prompt;  // how many of the tokens are the prompt's
  Sampler sampler;
  std::unique_ptr<Speculation> speculation;  // null: none
  std::vector<int32_t> tokens;               // the prompt, then the answer
  std::vector<int32_t> rows;  // that the answer puts into the step: its last token and what is guessed behind it
  Engine::SequenceId sequence = -1;
  bool answering = false;  // all but the last token have been read
  int64_t kept = 0;        // of the sequence's pages, in the tree
  Usage usage;
  double started = -1, first_token = 0, last_token = 0;

  const Overlay* overlay() const { return request.adapter ? &request.adapter->overlay() : nullptr; }
  uint64_t adapter() const { return request.adapter ? request.adapter->identity() : 0; }

  bool before(const Job& other) const {
    return request.priority != other.request.priority ? request.priority > other.request.priority
                                                      : arrival < other.arrival;
  }
};

namespace {

template <class Jobs>
void put_in_order(Jobs& jobs, typename Jobs::value_type job) {
  const auto place = std::find_if(jobs.begin(), jobs.end(), [&](const auto& other) { return job->before(*other); });
  jobs.insert(place, std::move(job));
}

}  // namespace

Scheduler::Scheduler(Env& env, Engine& engine, Options options)
    : env_(env),
      engine_(engine),
      options_(std::move(options)),
      tree_(engine.cache()),
      prompt_rows_(std::min(kFewestPromptRows, engine.options().batch)) {}

Scheduler::~Scheduler() {
  for (Jobs* jobs : {&running_, &waiting_}) {
    for (auto& job : *jobs) finish(*job, Status(), FinishReason::cancelled);
  }
}

void Scheduler::submit(Request request) {
  auto job = std::make_unique<Job>(std::move(request), arrivals_++);
  if (options_.drafting) job->speculation = options_.drafting->begin(job->request.sampler, job->tokens);
  put_in_order(waiting_, std::move(job));
}

void Scheduler::step() {
  end_cancelled(running_);
  end_cancelled(waiting_);
  admit();
  plan();
  if (work_.empty()) return;
  const double before = env_.seconds();
  const auto logits = engine_.step(work_);
  const double seconds = env_.seconds() - before;
  pace(seconds);
  if (last_step_.prompts == 0) answer_cost_.observe(last_step_.answers, seconds);
  const auto width = static_cast<size_t>(engine_.model().config().width);
  int64_t row = 0;   // of those with logits
  size_t first = 0;  // of all rows
  for (size_t i = 0; i < work_.size(); ++i) {
    Job& job = *owners_[i];
    if (!logits.ok()) {
      finish(job, logits.status(), FinishReason::stop);
      continue;
    }
    const size_t count = work_[i].tokens.size();
    if (job.speculation) {
      job.speculation->read(engine_.length(job.sequence) - static_cast<int64_t>(count),
                            logits->hidden.subspan(first * width, count * width));
    }
    if (work_[i].logits_last > 0) accept(job, row, *logits);
    row += work_[i].logits_last;
    first += count;
    if (job.sequence >= 0) keep_pages(job, false);
  }
  std::erase_if(running_, [](const auto& job) { return job->sequence < 0; });
}

void Scheduler::end_cancelled(Jobs& jobs) {
  std::erase_if(jobs, [&](const auto& job) {
    if (!job->request.cancel->load()) return false;
    finish(*job, Status(), FinishReason::cancelled);
    return true;
  });
}

void Scheduler::admit() {
  int64_t reserved = 0;
  for (const auto& job : running_) reserved += pages_for(job->request.limit);
  while (!waiting_.empty()) {
    const Job& next = *waiting_.front();
    const int64_t wanted = pages_for(next.request.limit), total = engine_.total_pages();
    int64_t lower = 0;  // pages of those that would make way
    for (const auto& job : running_) {
      if (job->request.priority < next.request.priority) lower += pages_for(job->request.limit);
    }
    if (!running_.empty() && reserved - lower + wanted > total) return;
    while (!running_.empty() && reserved + wanted > total) {
      reserved -= pages_for(running_.back()->request.limit);
      preempt_last();
    }
    auto job = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    reserved += wanted;
    const bool expands = engine_.model().config().kv_lora > 0 && job->prompt >= kExpandedFrom;
    job->sequence = engine_.open(expands ? job->prompt : 0).value();
    job->tokens.reserve(static_cast<size_t>(job->request.limit));
    if (job->started < 0) job->started = env_.seconds();
    put_in_order(running_, std::move(job));
  }
}

void Scheduler::preempt_last() {
  auto job = std::move(running_.back());
  running_.pop_back();
  keep_pages(*job, true);
  engine_.close(job->sequence);
  job->sequence = -1;
  job->answering = false;  // it has its own answer to read again, like a prompt
  job->kept = 0;
  put_in_order(waiting_, std::move(job));
}

void Scheduler::plan() {
  work_.clear();
  owners_.clear();
  last_step_ = {};
  room_ = engine_.options().batch;
  // Each answer's own row, and the fewest of a prompt, go before the guesses of any.
  const int64_t answers = std::count_if(running_.begin(), running_.end(), [](auto& job) { return job->answering; });
  const int64_t prompts = static_cast<int64_t>(running_.size()) - answers;
  int64_t spare = std::max<int64_t>(0, room_ - answers - (prompts > 0 ? kFewestPromptRows : 0));
  for (auto& job : running_) {
    if (room_ == 0 || !job->answering) continue;
    add_answer_rows(*job, answers, spare);
    spare -= static_cast<int64_t>(job->rows.size()) - 1;
  }
  last_step_.answers = engine_.options().batch - room_;
  if (last_step_.answers > 0) room_ = std::min(room_, prompt_rows_);
  last_step_.prompt_limit = room_;
  for (auto& job : running_) {
    if (room_ > 0 && !job->answering) add_prompt_rows(*job);
  }
  last_step_.prompts = last_step_.prompt_limit - room_;
  int64_t pages = 0;
  for (const Engine::Work& work : work_) {
    pages += engine_.cache().pages_needed(work.sequence, static_cast<int64_t>(work.tokens.size()));
  }
  while (engine_.free_pages() < pages && tree_.evict()) {
  }
}

// What a running answer puts into a step, and what accept() does with the logits of these rows, belong together.
void Scheduler::add_answer_rows(Job& job, int64_t answers, int64_t most_drafts) {
  job.rows.assign(1, job.tokens.back());
  if (job.speculation) {
    // The step draws one token more than it guesses.
    const int64_t left = job.request.limit - static_cast<int64_t>(job.tokens.size()) - 1;
    const auto draft = job.speculation->draft(std::min(left, most_drafts), answers, answer_cost_);
    job.rows.insert(job.rows.end(), draft.begin(), draft.end());
  }
  work_.push_back({job.sequence, job.rows, static_cast<int32_t>(job.rows.size()), {}, job.overlay()});
  owners_.push_back(&job);
  room_ -= static_cast<int64_t>(job.rows.size());
}

void Scheduler::add_prompt_rows(Job& job) {
  if (options_.reuse_prefix && !adopt(job)) return;
  const int64_t read = engine_.length(job.sequence), left = static_cast<int64_t>(job.tokens.size()) - read;
  const int64_t count = std::min(left, room_);
  const std::span<const int32_t> rows(job.tokens.data() + read, static_cast<size_t>(count));
  work_.push_back({job.sequence, rows, count == left ? 1 : 0, {}, job.overlay()});
  owners_.push_back(&job);
  room_ -= count;
}

// Takes from the tree what others have read. False when one that goes before is about to read the next page.
bool Scheduler::adopt(Job& job) {
  if (engine_.length(job.sequence) % kPagePositions != 0) return true;
  // The last token is always read anew: its logits are needed.
  const auto wanted = std::span<const int32_t>(job.tokens).first(job.tokens.size() - 1);
  int64_t found = tree_.adopt_pages(job.sequence, wanted, job.adapter());
  const auto page_end = static_cast<size_t>(engine_.length(job.sequence) + kPagePositions);
  const auto reads_it = [&](const auto& other) {
    return !other->answering && other->adapter() == job.adapter() &&
           engine_.length(other->sequence) < static_cast<int64_t>(page_end) && other->tokens.size() >= page_end &&
           std::equal(other->tokens.begin(), other->tokens.begin() + static_cast<int64_t>(page_end), wanted.begin());
  };
  const auto self = std::find_if(running_.begin(), running_.end(), [&](const auto& other) { return &*other == &job; });
  const bool waits = page_end <= wanted.size() && std::any_of(running_.begin(), self, reads_it);
  if (!waits) found += tree_.adopt_rows(job.sequence, wanted, job.adapter());
  if (job.usage.answer_tokens == 0) job.usage.reused_tokens += found;
  return !waits;
}

// The time of a step grows with its rows, from that of reading the weights once. Taking it as in proportion to them
// errs towards fewer rows, and less with each step: the fixed point is a step of the wanted time.
void Scheduler::pace(double seconds) {
  // The short rest of a prompt says little.
  if (last_step_.prompts < std::min(prompt_rows_, last_step_.prompt_limit) || seconds <= 0) return;
  const double rows = static_cast<double>(last_step_.prompts) * options_.step_seconds / seconds;
  const auto batch = static_cast<double>(engine_.options().batch);
  prompt_rows_ = static_cast<int64_t>(std::clamp(rows, std::min<double>(kFewestPromptRows, batch), batch));
}

void Scheduler::accept(Job& job, int64_t first_logits_row, const Engine::Logits& logits) {
  const double now = env_.seconds();
  const auto drafted = job.answering ? std::span<const int32_t>(job.rows).subspan(1) : std::span<const int32_t>();
  drawn_.clear();
  const Status drawn = draw_tokens(logits, first_logits_row, drafted, job.sampler, scratch_, drawn_);
  if (!drawn.ok()) return finish(job, drawn, FinishReason::stop);
  const auto right = static_cast<int64_t>(drawn_.size()) - 1;
  if (right < static_cast<int64_t>(drafted.size())) {
    const auto held = static_cast<int64_t>(job.tokens.size()) + right;
    LANDFALL_CHECK(engine_.truncate(job.sequence, held).ok());  // a running answer shares none but full pages
  }
  if (job.speculation) job.speculation->accept(drawn_);
  if (job.usage.answer_tokens == 0) {
    job.first_token = now;
    job.usage.prefill_seconds = now - job.started;
  } else {
    job.usage.decode_seconds = now - job.first_token;
    job.usage.longest_gap_seconds = std::max(job.usage.longest_gap_seconds, now - job.last_token);
  }
  job.last_token = now;
  job.answering = true;
  job.usage.drafted_tokens += static_cast<int64_t>(drafted.size());
  for (int64_t i = 0; i <= right; ++i) {
    const int32_t token = drawn_[static_cast<size_t>(i)];
    ++job.usage.answer_tokens;
    if (i < right) ++job.usage.accepted_tokens;
    if (std::binary_search(options_.ends.begin(), options_.ends.end(), token)) {
      return finish(job, Status(), FinishReason::stop);
    }
    job.tokens.push_back(token);
    if (job.request.on_token && !job.request.on_token(token)) return finish(job, Status(), FinishReason::stop);
    if (static_cast<int64_t>(job.tokens.size()) >= job.request.limit) {
      return finish(job, Status(), FinishReason::length);
    }
  }
}

// Full pages as they come, so that others share them at once; the open one when the sequence leaves it.
void Scheduler::keep_pages(Job& job, bool open_page) {
  // An answer that ended among guesses that were right has read more than it holds.
  const int64_t length = std::min(engine_.length(job.sequence), static_cast<int64_t>(job.tokens.size()));
  const int64_t full = length / kPagePositions;
  if (!options_.reuse_prefix || (!open_page && full == job.kept)) return;
  job.kept = full;
  const int64_t count = open_page ? length : full * kPagePositions;
  tree_.insert(job.sequence, std::span(job.tokens).first(static_cast<size_t>(count)), job.adapter());
}

void Scheduler::finish(Job& job, const Status& status, FinishReason reason) {
  if (job.sequence >= 0) {
    if (status.ok()) keep_pages(job, true);
    engine_.close(job.sequence);
    job.sequence = -1;
  }
  if (job.request.on_done) job.request.on_done(status, reason, job.usage);
}

}  // namespace landfall
