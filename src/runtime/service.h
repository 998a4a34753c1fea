// Text in, text out: what a conversation or completion needs around a Scheduler. A Service owns one model with its
// tokenizer, chat format and Engine, and one thread on which a Scheduler answers all requests together. submit() may be
// called from any thread; events of a request arrive on the Service's thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/chat/chat_format.h"
#include "model/tokenizer/tokenizer.h"
#include "runtime/engine.h"
#include "runtime/scheduler.h"

namespace landfall {

struct GenerateRequest {
  // Exactly one of the two: a conversation, rendered by the model's chat format, or plain text to go on from.
  std::vector<ChatMessage> messages;
  std::optional<std::string> prompt;
  std::optional<bool> thinking;  // for models that can choose
  std::string adapter;           // name of a loaded one; "": the model alone

  SamplerSettings sampler;
  std::optional<int64_t> max_tokens;  // of the answer; default: what the context holds
  std::vector<std::string> stop;      // the answer ends before the first of these
  int32_t priority = 0;               // higher goes first; see Scheduler
};

// Called on the Service's thread: on_text for each new piece (whole characters; never part of a stop string or tag),
// then exactly one on_done. A callback must not block.
struct GenerateEvents {
  std::function<void(const std::string& reasoning, const std::string& content)> on_text;
  std::function<void(const Status& status, FinishReason reason, const Usage& usage)> on_done;
};

class Service {
 public:
  struct Options {
    EngineOptions engine;
    int cache_contexts = 1;          // whole contexts that the cache is to hold, if memory allows
    bool use_file_template = false;  // the Jinja template of the file even where a native renderer exists
    std::string draft;               // what guesses tokens ahead: as of Drafting::load, or "" for none
    double step_seconds = Scheduler::Options().step_seconds;
    bool reuse_prefix = true;  // requests that begin alike share their cache
  };
  // Opens, checks memory, loads. progress as in load_weights.
  static Result<std::unique_ptr<Service>> load(Env& env, const std::string& path, Options options,
                                               const std::function<bool(uint64_t, uint64_t)>& progress);
  ~Service();  // cancels what runs

  // Errors that can be known before work starts come back here (a prompt longer than the context: resource_exhausted
  // with both lengths; bad settings), all others through on_done. The flag set to true cancels; on_done still comes.
  using CancelFlag = std::shared_ptr<std::atomic<bool>>;
  Result<CancelFlag> submit(GenerateRequest request, GenerateEvents events);

  // Adapters in PEFT's layout (model/adapter.h) by the names that requests choose them by. They come and go while
  // requests run; one that is replaced or unloaded stays until the requests that began with it have ended. Any thread,
  // on which the files are read. Errors: as of read_adapter; a name that is taken (failed_precondition) unless
  // `replace`, or for unloading one that is not there (not_found); too little memory (resource_exhausted).
  Status load_adapter(const std::string& name, const std::string& folder, bool replace = false);
  Status unload_adapter(const std::string& name);
  std::vector<std::string> adapters() const;  // ascending

  const Model& model() const;
  const Tokenizer& tokenizer() const;
  const ModelSource& source() const;
  const EngineOptions& engine_options() const;  // as settled
  const MemoryEstimate& memory() const;
  double load_seconds() const;
  int64_t used_bytes() const;

 private:
  struct State;
  explicit Service(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace landfall
