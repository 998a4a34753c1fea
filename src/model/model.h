// A loaded model: configuration, architecture and weights. Immutable after load(), so any number of threads may run it,
// each with its own Ctx.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/architecture.h"
#include "model/config.h"
#include "model/source.h"
#include "tensor/weight.h"

namespace landfall {

class Model {
 public:
  const Architecture& architecture() const { return *architecture_; }
  const Config& config() const { return config_; }

  // The weight of this name in a layer (-1: outside the layers); CHECKs that it is there, or null from find().
  const Weight& weight(int64_t layer, std::string_view name) const;
  const Weight* find(int64_t layer, std::string_view name) const;

  // All weights in order of id.
  std::span<const Weight> weights() const { return weights_; }
  int64_t parameters() const;         // numbers in all weights
  int64_t active_parameters() const;  // of those, read for one token
  int64_t weight_bytes() const;       // as they lie in memory
  // All weights in one piece, and its size before they are loaded.
  std::span<const std::byte> memory() const;
  int64_t memory_bytes() const;
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  friend Result<Model> describe_model(const ModelSource& source);
  friend Status load_weights(const ModelSource& source, ThreadPool& pool,
                             const std::function<bool(uint64_t, uint64_t)>& progress, Model& model, bool copy);
  const Architecture* architecture_ = nullptr;
  Config config_;
  std::vector<Weight> weights_;
  std::vector<WeightSpec> specs_;     // of the same index
  std::vector<int64_t> layer_begin_;  // weights_ index where layer i - 1 begins; last: the end
  std::shared_ptr<Buffer> memory_;
  std::vector<std::string> notes_;
};

// Everything about the model but its numbers: every weight found, its shape compared with what the configuration says,
// memory sizes known. Nothing large is read.
Result<Model> describe_model(const ModelSource& source);

// Reads and repacks the weights; those of a packed file are used where they are mapped, or copied into memory of our
// own with 2 MiB pages where `copy` says so. progress(bytes done, bytes of all) is called now and then; returning false
// cancels.
Status load_weights(const ModelSource& source, ThreadPool& pool,
                    const std::function<bool(uint64_t, uint64_t)>& progress, Model& model, bool copy = false);

// One forward pass: embed, layers, head -> logits [wanted rows, vocab] in the arena. When the reader does not keep
// outputs, the arena is reset after each layer and only the state between layers survives.
Tensor forward(Ctx& ctx, const Model& model);

}  // namespace landfall
