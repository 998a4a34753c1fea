#include "runtime/service.h"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>

#include "model/chat/thinking.h"
#include "runtime/load.h"
#include "runtime/stop_matcher.h"

namespace landfall {
namespace {

// Prompts from this length on are read with latent attention in its expanded form, which costs fewer operations for
// many rows; the answer always takes the absorbed form.
constexpr int64_t kExpandedFrom = 128;

// Finished conversations whose cache is kept for their next turn.
constexpr size_t kIdleSequences = 16;

int64_t pages_for(int64_t positions) { return (positions + kPagePositions - 1) / kPagePositions; }

struct Request {
  Request(GenerateRequest r, GenerateEvents e, std::vector<int32_t> prompt_ids, bool thinking,
          const Tokenizer& tokenizer)
      : request(std::move(r)),
        events(std::move(e)),
        prompt(std::move(prompt_ids)),
        sampler(request.sampler, prompt),
        decoder(tokenizer, true),
        splitter(thinking),
        stops(request.stop),
        is_chat(!request.messages.empty()) {}

  GenerateRequest request;
  GenerateEvents events;
  Service::CancelFlag cancel = std::make_shared<std::atomic<bool>>(false);
  std::vector<int32_t> prompt, answer;
  Sampler sampler;
  int64_t limit = 0;  // positions, prompt and answer together
  Engine::SequenceId sequence = -1;
  int64_t read = 0;  // of the prompt
  StreamDecoder decoder;
  ThinkingSplitter splitter;
  StopMatcher stops;
  bool is_chat;
  Usage usage;
  double started = 0, first_token = 0;
};

// The cache of a finished request, for a later one that begins with the same tokens.
struct Idle {
  Engine::SequenceId sequence;
  std::vector<int32_t> tokens;
};

}  // namespace

std::string_view name(FinishReason reason) {
  constexpr std::string_view kNames[] = {"stop", "length", "cancelled"};
  return kNames[static_cast<size_t>(reason)];
}

struct Service::State {
  State(Env& e, ModelSource s, Tokenizer t) : env(e), source(std::move(s)), tokenizer(std::move(t)) {}

  Env& env;
  ModelSource source;
  Tokenizer tokenizer;
  std::optional<ChatFormat> format;
  std::string no_format;  // why there is none
  std::shared_ptr<const Model> model;
  std::unique_ptr<Engine> engine;
  MemoryEstimate memory;
  bool reuse_prefix = true;
  double load_seconds = 0;

  std::mutex mutex;  // guards queue and stopping
  std::condition_variable wake;
  std::deque<std::unique_ptr<Request>> queue;
  bool stopping = false;
  std::thread thread;

  // Only the Service's thread touches what follows.
  std::list<std::unique_ptr<Request>> active;
  std::list<Idle> idle;  // least recently used first
  SamplerScratch scratch;
  std::atomic<int64_t> used_bytes{0};

  void run();
  void admit();
  void step();
  Engine::SequenceId take_sequence(Request& r);
  bool free_idle();
  void accept_token(Request& r, std::span<const float> logits);
  void send(Request& r, const std::string& text, bool last);
  void finish(Request& r, const Status& status, FinishReason reason);
};

Result<std::unique_ptr<Service>> Service::load(Env& env, const std::string& path, Options options,
                                               const std::function<bool(uint64_t, uint64_t)>& progress) {
  LANDFALL_ASSIGN(Loaded loaded, landfall::load(env, path, options.engine, options.cache_contexts, progress));
  LANDFALL_TRY(loaded.text().status());
  auto state = std::make_unique<State>(env, std::move(loaded.source), std::move(*loaded.tokenizer));
  state->model = std::move(loaded.model);
  state->memory = loaded.memory;
  state->reuse_prefix = options.reuse_prefix;
  LANDFALL_ASSIGN(state->engine, Engine::create(state->model, loaded.options));
  auto format = ChatFormat::create(
      state->tokenizer, options.use_file_template ? ChatFormat::Choice::file : ChatFormat::Choice::automatic);
  if (format.ok()) {
    state->format = std::move(*format);
  } else {
    state->no_format = format.status().message();
  }
  state->load_seconds = loaded.seconds;
  state->used_bytes = state->engine->used_bytes();
  state->thread = std::thread([s = state.get()] { s->run(); });
  return std::unique_ptr<Service>(new Service(std::move(state)));
}

Service::Service(std::unique_ptr<State> state) : state_(std::move(state)) {}

Service::~Service() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  state_->thread.join();
}

const Model& Service::model() const { return *state_->model; }
const Tokenizer& Service::tokenizer() const { return state_->tokenizer; }
const ModelSource& Service::source() const { return state_->source; }
const EngineOptions& Service::engine_options() const { return state_->engine->options(); }
const MemoryEstimate& Service::memory() const { return state_->memory; }
double Service::load_seconds() const { return state_->load_seconds; }
int64_t Service::used_bytes() const { return state_->used_bytes.load(); }

Result<Service::CancelFlag> Service::submit(GenerateRequest request, GenerateEvents events) {
  LANDFALL_TRY(check_sampler(request.sampler));
  std::vector<int32_t> ids;
  bool thinking = false;
  if (request.prompt) {
    ids = state_->tokenizer.with_bos(state_->tokenizer.encode(*request.prompt));
  } else {
    if (!state_->format) return Status(Code::unsupported, "the model has no chat form: " + state_->no_format);
    ChatOptions options;
    options.thinking = request.thinking;
    options.unix_time = state_->env.unix_time();
    LANDFALL_ASSIGN(const Prompt prompt, state_->format->render(request.messages, options));
    ids = state_->tokenizer.with_bos(state_->tokenizer.encode_segments(prompt.segments));
    thinking = prompt.starts_in_thinking;
  }
  const auto context = state_->engine->options().context;
  const auto count = static_cast<int64_t>(ids.size());
  if (count == 0) return Status(Code::invalid_argument, "the prompt is empty");
  if (count >= context) {
    return Status(Code::resource_exhausted, "the prompt has " + std::to_string(count) +
                                                " tokens, and the context holds " + std::to_string(context) +
                                                " with the answer; shorten it, or start with a larger --context");
  }
  if (request.max_tokens && *request.max_tokens < 1) {
    return Status(Code::invalid_argument,
                  "max_tokens is " + std::to_string(*request.max_tokens) + "; 1 or more is possible");
  }
  std::erase(request.stop, std::string());
  auto r =
      std::make_unique<Request>(std::move(request), std::move(events), std::move(ids), thinking, state_->tokenizer);
  r->limit = std::min(context, count + std::min(r->request.max_tokens.value_or(context), context));
  r->usage.prompt_tokens = count;
  CancelFlag flag = r->cancel;
  {
    std::lock_guard lock(state_->mutex);
    state_->queue.push_back(std::move(r));
  }
  state_->wake.notify_all();
  return flag;
}

// ---- the Service's thread

void Service::State::run() {
  while (true) {
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return stopping || !queue.empty() || !active.empty(); });
      if (stopping) {
        for (auto& r : queue) active.push_back(std::move(r));
        queue.clear();
        break;
      }
    }
    admit();
    if (!active.empty()) step();
    used_bytes = engine->used_bytes();
  }
  for (auto& r : active) finish(*r, Status(), FinishReason::cancelled);
}

// Requests start in order of arrival, each with room for its longest answer set aside, so that none runs out of cache
// while others hold it.
void Service::State::admit() {
  int64_t reserved = 0;
  for (const auto& r : active) reserved += pages_for(r->limit);
  while (true) {
    std::unique_ptr<Request> r;
    std::vector<std::unique_ptr<Request>> cancelled;  // they need not wait for room
    {
      std::lock_guard lock(mutex);
      for (auto it = queue.begin(); it != queue.end();) {
        if ((*it)->cancel->load()) {
          cancelled.push_back(std::move(*it));
          it = queue.erase(it);
        } else {
          ++it;
        }
      }
      if (!queue.empty() && (active.empty() || reserved + pages_for(queue.front()->limit) <= engine->total_pages())) {
        r = std::move(queue.front());
        queue.pop_front();
      }
    }
    for (auto& c : cancelled) finish(*c, Status(), FinishReason::cancelled);
    if (!r) return;
    reserved += pages_for(r->limit);
    r->started = env.seconds();
    r->sequence = take_sequence(*r);
    active.push_back(std::move(r));
  }
}

// The idle sequence that shares the longest beginning with the prompt, cut to that; or a new one.
Engine::SequenceId Service::State::take_sequence(Request& r) {
  const auto prompt = static_cast<int64_t>(r.prompt.size());
  const int64_t expanded = model->config().kv_lora > 0 && prompt >= kExpandedFrom ? prompt : 0;
  auto best = idle.end();
  int64_t longest = 0;
  for (auto it = idle.begin(); it != idle.end(); ++it) {
    const auto [mine, theirs] = std::mismatch(r.prompt.begin(), r.prompt.end(), it->tokens.begin(), it->tokens.end());
    // The last token is always read anew: its logits are needed.
    const int64_t common = std::min<int64_t>(mine - r.prompt.begin(), prompt - 1);
    if (common > longest) {
      longest = common;
      best = it;
    }
  }
  if (best != idle.end() && engine->truncate(best->sequence, longest).ok()) {
    const Engine::SequenceId sequence = best->sequence;
    idle.erase(best);
    engine->set_expanded_until(sequence, expanded);
    r.read = r.usage.reused_tokens = longest;
    return sequence;
  }
  return engine->open(expanded).value();
}

bool Service::State::free_idle() {
  if (idle.empty()) return false;
  engine->close(idle.front().sequence);
  idle.pop_front();
  return true;
}

void Service::State::step() {
  for (auto it = active.begin(); it != active.end();) {
    if (!(*it)->cancel->load()) {
      ++it;
      continue;
    }
    finish(**it, Status(), FinishReason::cancelled);
    it = active.erase(it);
  }
  // One row for each running answer first, then prompts in order of arrival with what is left of the batch.
  std::vector<Engine::Work> work;
  std::vector<Request*> owners;
  int64_t room = engine->options().batch, pages = 0;
  auto add = [&](Request& r, std::span<const int32_t> tokens, int32_t logits) {
    pages += pages_for(engine->length(r.sequence) + static_cast<int64_t>(tokens.size())) -
             pages_for(engine->length(r.sequence));
    room -= static_cast<int64_t>(tokens.size());
    work.push_back({r.sequence, tokens, logits});
    owners.push_back(&r);
  };
  for (auto& r : active) {
    if (!r->answer.empty() && room > 0) add(*r, {&r->answer.back(), 1}, 1);
  }
  for (auto& r : active) {
    const auto left = static_cast<int64_t>(r->prompt.size()) - r->read;
    if (left == 0 || room == 0) continue;
    const int64_t count = std::min(left, room);
    add(*r, {r->prompt.data() + r->read, static_cast<size_t>(count)}, count == left ? 1 : 0);
    r->read += count;
  }
  if (work.empty()) return;
  while (engine->free_pages() < pages && free_idle()) {
  }
  const auto logits = engine->step(work);
  int64_t row = 0;
  for (size_t i = 0; i < work.size(); ++i) {
    Request& r = *owners[i];
    if (!logits.ok()) {
      finish(r, logits.status(), FinishReason::stop);
      r.sequence = -1;
    } else if (work[i].logits_last > 0) {
      accept_token(r, logits->row(row++));
    }
  }
  active.remove_if([](const auto& r) { return r->sequence < 0; });
}

void Service::State::accept_token(Request& r, std::span<const float> logits) {
  const double now = env.seconds();
  const auto position = static_cast<int64_t>(r.prompt.size() + r.answer.size());
  const int32_t token = r.sampler.draw(logits, scratch);
  if (!std::isfinite(logits[static_cast<size_t>(token)])) {
    return finish(r,
                  Status(Code::internal, "the model's output is not a number at position " + std::to_string(position) +
                                             "; the file may be damaged: try 'landfall verify'"),
                  FinishReason::stop);
  }
  if (r.answer.empty()) {
    r.first_token = now;
    r.usage.prefill_seconds = now - r.started;
  } else {
    r.usage.decode_seconds = now - r.first_token;
  }
  ++r.usage.answer_tokens;
  const std::vector<int32_t>& ends = tokenizer.eos_ids();
  if (std::binary_search(ends.begin(), ends.end(), token)) return finish(r, Status(), FinishReason::stop);
  r.answer.push_back(token);
  r.sampler.accept(token);
  send(r, r.decoder.push(token), false);
  if (r.stops.stopped()) return finish(r, Status(), FinishReason::stop);
  if (position + 1 >= r.limit) return finish(r, Status(), FinishReason::length);
}

void Service::State::send(Request& r, const std::string& text, bool last) {
  ThinkingSplitter::Pieces pieces;
  if (r.is_chat) {
    pieces = r.splitter.push(text);
    if (last) {
      const ThinkingSplitter::Pieces rest = r.splitter.finish();
      pieces.reasoning += rest.reasoning;
      pieces.content += rest.content;
    }
  } else {
    pieces.content = text;
  }
  pieces.content = r.stops.push(pieces.content) + (last ? r.stops.finish() : "");
  if ((!pieces.reasoning.empty() || !pieces.content.empty()) && r.events.on_text) {
    r.events.on_text(pieces.reasoning, pieces.content);
  }
}

void Service::State::finish(Request& r, const Status& status, FinishReason reason) {
  if (status.ok() && reason != FinishReason::cancelled && !r.stops.stopped()) send(r, r.decoder.finish(), true);
  if (r.sequence >= 0) {
    const int64_t held = engine->length(r.sequence);
    if (status.ok() && reuse_prefix && held > 0) {
      std::vector<int32_t> tokens = r.prompt;
      tokens.insert(tokens.end(), r.answer.begin(), r.answer.end());
      tokens.resize(static_cast<size_t>(held));
      idle.push_back({r.sequence, std::move(tokens)});
      if (idle.size() > kIdleSequences) free_idle();
    } else {
      engine->close(r.sequence);
    }
    r.sequence = -1;
  }
  if (r.events.on_done) r.events.on_done(status, reason, r.usage);
}

}  // namespace landfall
