#include "runtime/service.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "model/chat/thinking.h"
#include "runtime/drafting.h"
#include "runtime/load.h"
#include "runtime/stop_matcher.h"

namespace landfall {
namespace {

// From tokens to the events of one request. The Scheduler's callbacks hold it.
class AnswerText {
 public:
  AnswerText(GenerateEvents e, const std::vector<std::string>& stop, const Tokenizer& tokenizer, bool chat,
             bool thinking)
      : events(std::move(e)), decoder(tokenizer, true), splitter(thinking), stops(stop), is_chat(chat) {}

  // Whether the answer goes on.
  bool push(int32_t token) {
    send(decoder.push(token), false);
    return !stops.stopped();
  }

  void finish(const Status& status, FinishReason reason, const Usage& usage) {
    if (status.ok() && reason != FinishReason::cancelled && !stops.stopped()) send(decoder.finish(), true);
    if (events.on_done) events.on_done(status, reason, usage);
  }

 private:
  void send(const std::string& text, bool last) {
    ThinkingSplitter::Pieces pieces;
    if (is_chat) {
      pieces = splitter.push(text);
      if (last) {
        const ThinkingSplitter::Pieces rest = splitter.finish();
        pieces.reasoning += rest.reasoning;
        pieces.content += rest.content;
      }
    } else {
      pieces.content = text;
    }
    pieces.content = stops.push(pieces.content) + (last ? stops.finish() : "");
    if ((!pieces.reasoning.empty() || !pieces.content.empty()) && events.on_text) {
      events.on_text(pieces.reasoning, pieces.content);
    }
  }

  GenerateEvents events;
  StreamDecoder decoder;
  ThinkingSplitter splitter;
  StopMatcher stops;
  bool is_chat;
};

}  // namespace

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
  double load_seconds = 0;
  std::atomic<int64_t> used_bytes{0};
  std::unique_ptr<Drafting> drafting;    // null: tokens come one a step
  std::unique_ptr<Scheduler> scheduler;  // touched by the thread alone once that runs

  std::mutex adapters_mutex;
  std::map<std::string, std::shared_ptr<const AdapterWeights>> adapters;
  uint64_t adapters_made = 0;

  std::mutex mutex;  // guards arrived and stopping
  std::condition_variable wake;
  std::vector<Scheduler::Request> arrived;
  bool stopping = false;
  std::thread thread;

  void run();
  void count_bytes() { used_bytes = engine->used_bytes() + (drafting ? drafting->used_bytes() : 0); }
};

Result<std::unique_ptr<Service>> Service::load(Env& env, const std::string& path, Options options,
                                               const std::function<bool(uint64_t, uint64_t)>& progress) {
  LANDFALL_ASSIGN(Loaded loaded, landfall::load(env, path, options.engine, options.cache_contexts, progress));
  LANDFALL_TRY(loaded.text().status());
  std::unique_ptr<Drafting> drafting;
  if (!options.draft.empty()) {
    LANDFALL_ASSIGN(drafting, Drafting::load(env, options.draft, loaded, progress));
  }
  auto state = std::make_unique<State>(env, std::move(loaded.source), std::move(*loaded.tokenizer));
  state->model = std::move(loaded.model);
  state->memory = loaded.memory;
  state->drafting = std::move(drafting);
  LANDFALL_ASSIGN(state->engine, Engine::create(state->model, loaded.options));
  state->scheduler = std::make_unique<Scheduler>(env, *state->engine,
                                                 Scheduler::Options{.step_seconds = options.step_seconds,
                                                                    .reuse_prefix = options.reuse_prefix,
                                                                    .ends = state->tokenizer.eos_ids(),
                                                                    .drafting = state->drafting.get()});
  auto format = ChatFormat::create(
      state->tokenizer, options.use_file_template ? ChatFormat::Choice::file : ChatFormat::Choice::automatic);
  if (format.ok()) {
    state->format = std::move(*format);
  } else {
    state->no_format = format.status().message();
  }
  state->load_seconds = loaded.seconds;
  state->count_bytes();
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
int64_t Service::used_bytes() const {
  int64_t bytes = state_->used_bytes.load();
  std::lock_guard lock(state_->adapters_mutex);
  for (const auto& [name, adapter] : state_->adapters) bytes += adapter->bytes();
  return bytes;
}

Status Service::load_adapter(const std::string& name, const std::string& folder, bool replace) {
  if (name.empty()) return Status(Code::invalid_argument, "an adapter needs a name, by which requests choose it");
  const auto taken = [&] {
    return Status(Code::failed_precondition, "there is an adapter '" + name + "' already; unload it or replace it");
  };
  uint64_t identity = 0;
  {
    std::lock_guard lock(state_->adapters_mutex);
    if (!replace && state_->adapters.contains(name)) return taken();
    identity = ++state_->adapters_made;
  }
  LANDFALL_ASSIGN(const Adapter read, read_adapter(state_->env, folder, *state_->model));
  int64_t numbers = 0;
  for (const AdapterPart& part : read.parts) numbers += static_cast<int64_t>(part.a.size() + part.b.size());
  if (const uint64_t needed = static_cast<uint64_t>(numbers) * sizeof(float); needed > state_->env.available_memory()) {
    return Status(Code::resource_exhausted, "the adapter '" + name + "' needs " + std::to_string(needed / 1'000'000) +
                                                " MB of memory, which are not free; unload another");
  }
  auto adapter = std::make_shared<const AdapterWeights>(*state_->model, read, identity);
  std::lock_guard lock(state_->adapters_mutex);
  if (!replace && state_->adapters.contains(name)) return taken();  // by another thread meanwhile
  state_->adapters[name] = std::move(adapter);
  return {};
}

Status Service::unload_adapter(const std::string& name) {
  std::lock_guard lock(state_->adapters_mutex);
  if (state_->adapters.erase(name) > 0) return {};
  return Status(Code::not_found, "there is no adapter '" + name + "'");
}

std::vector<std::string> Service::adapters() const {
  std::lock_guard lock(state_->adapters_mutex);
  std::vector<std::string> out;
  for (const auto& [name, adapter] : state_->adapters) out.push_back(name);
  return out;
}

Result<Service::CancelFlag> Service::submit(GenerateRequest request, GenerateEvents events) {
  LANDFALL_TRY(check_sampler(request.sampler));
  std::shared_ptr<const AdapterWeights> adapter;
  if (!request.adapter.empty()) {
    std::lock_guard lock(state_->adapters_mutex);
    const auto found = state_->adapters.find(request.adapter);
    if (found == state_->adapters.end())
      return Status(Code::not_found, "there is no adapter '" + request.adapter + "'");
    adapter = found->second;
  }
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
  auto text = std::make_shared<AnswerText>(std::move(events), request.stop, state_->tokenizer,
                                           !request.messages.empty(), thinking);
  Scheduler::Request r;
  r.prompt = std::move(ids);
  r.sampler = request.sampler;
  r.limit = std::min(context, count + std::min(request.max_tokens.value_or(context), context));
  r.priority = request.priority;
  r.adapter = std::move(adapter);
  r.on_token = [text](int32_t token) { return text->push(token); };
  r.on_done = [text](const Status& status, FinishReason reason, const Usage& usage) {
    text->finish(status, reason, usage);
  };
  CancelFlag flag = r.cancel;
  {
    std::lock_guard lock(state_->mutex);
    state_->arrived.push_back(std::move(r));
  }
  state_->wake.notify_all();
  return flag;
}

// ---- the Service's thread

void Service::State::run() {
  std::vector<Scheduler::Request> requests;
  for (bool stop = false; !stop;) {
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] { return stopping || !arrived.empty() || !scheduler->idle(); });
      std::swap(requests, arrived);
      stop = stopping;
    }
    for (Scheduler::Request& r : requests) scheduler->submit(std::move(r));
    requests.clear();
    if (!stop) scheduler->step();
    count_bytes();
  }
  scheduler.reset();  // cancels what is left
}

}  // namespace landfall
