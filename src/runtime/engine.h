// The engine: one loaded model, many sequences, one step at a time. It knows token ids, not text and not requests.
// One thread steps an Engine (the Scheduler's); the model behind it is shared and immutable. Cache pages hold 128
// positions; fork shares full pages and copies the last, open one, so a fork is as good as a copy.
//
// Numerics: within one kernel set, a sequence's logits do not depend on what else is in the batch nor on how its tokens
// are cut into steps, bit for bit. Latent attention takes its expanded form for rows before a position that is fixed
// when the sequence is opened (a long prompt), and the absorbed form from there on.
//
// Work of one step may see different adapters. Each of them is a pass of its own through the model, which reads the
// weights again; so that holds for them too, and the rows of the model alone take the path that they take without any.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "model/model.h"
#include "runtime/kv_cache.h"
#include "tensor/operator.h"

namespace landfall {

struct EngineOptions {
  int threads = 0;              // 0: Topology::default_threads()
  int64_t context = 0;          // positions of one sequence at most; 0: the model's own, or what memory allows
  int64_t cache_positions = 0;  // positions in all sequences together; 0: one context
  int64_t batch = 512;          // rows of one step at most
  CacheType cache_type = CacheType::bf16;
  bool copy_weights = false;  // of a packed file: into memory with 2 MiB pages, instead of using it as it is mapped
  Device device;              // kernel set, exact
};

// What a model needs, by part, before anything is loaded. Bytes.
struct MemoryEstimate {
  int64_t weights = 0, cache = 0, activations = 0;
  int64_t cache_per_position = 0;
  int64_t total() const { return weights + cache + activations; }
  std::string text() const;  // "weights 95 MB + cache ... = ..."
};
// Settles context and cache_positions where they are 0, and says what that needs.
MemoryEstimate estimate_memory(const Model& described, EngineOptions& options, int64_t available_bytes);
// An error with the numbers when the estimate does not fit.
Status check_memory(const MemoryEstimate& estimate, int64_t available_bytes);

// Operations and bytes of a step that reads `rows` new rows of one sequence behind `past`, and wants logits of the
// last.
Cost count_step(const Model& model, int64_t rows, int64_t past, bool expanded, CacheType cache_type);

class Engine {
 public:
  // The model's weights must be loaded. Sizes the arena by a count pass at the largest batch.
  static Result<std::unique_ptr<Engine>> create(std::shared_ptr<const Model> model, EngineOptions options);
  ~Engine();

  using SequenceId = int32_t;
  Result<SequenceId> open(int64_t expanded_until = 0);
  Result<SequenceId> fork(SequenceId from);
  Status truncate(SequenceId sequence, int64_t length);
  void close(SequenceId sequence);
  int64_t length(SequenceId sequence) const;
  // For a sequence that is taken over by another request.
  void set_expanded_until(SequenceId sequence, int64_t position);

  // `tokens` go behind what the sequence holds; the logits of the last `logits_last` of them are wanted.
  struct Work {
    SequenceId sequence;
    std::span<const int32_t> tokens;
    int32_t logits_last = 1;
    std::span<const float> hidden = {};  // [tokens, width], for a model that reads hidden states
    const Overlay* overlay = nullptr;    // an adapter's; null: the model alone. All of a sequence's work has the same
  };
  // Logits [wanted rows, vocab] and hidden states [all rows, width] in order of work; valid until the next step.
  struct Logits {
    const float* data = nullptr;
    int64_t rows = 0, vocab = 0;
    std::span<const float> hidden;
    std::span<const float> row(int64_t i) const { return {data + i * vocab, static_cast<size_t>(vocab)}; }
  };
  // All or nothing: on an error no sequence has moved. Errors: a token out of range, more rows than a batch, a full
  // context or cache (resource_exhausted).
  Result<Logits> step(std::span<const Work> work);

  const Model& model() const { return *model_; }
  const EngineOptions& options() const { return options_; }  // as settled
  // For who shares pages between sequences while no step runs.
  KvCache& cache() { return cache_; }
  int64_t free_pages() const { return cache_.free_pages(); }
  int64_t total_pages() const { return cache_.total_pages(); }
  int64_t used_bytes() const;  // weights, cache pages in use, arena

 private:
  Engine(std::shared_ptr<const Model> model, EngineOptions options);
  Status check(std::span<const Work> work) const;
  Logits pass(std::span<const Work> work, const Overlay* overlay);

  std::shared_ptr<const Model> model_;
  EngineOptions options_;
  ThreadPool pool_;
  Arena arena_;
  KvCache cache_;
  RunReader reader_;
  std::vector<int32_t> tokens_, positions_, logits_rows_;
  std::vector<float> hidden_;  // that the work brings
  std::vector<Run> runs_;
  std::vector<const Overlay*> overlays_;        // of the step, each once
  std::vector<float> all_logits_, all_hidden_;  // of a step of several passes
};

}  // namespace landfall
