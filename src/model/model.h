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
  // What a weight of this model answers, and its layer (-1: outside the layers).
  const WeightSpec& spec(const Weight& weight) const { return specs_[weight.id]; }
  int64_t layer_of(const Weight& weight) const;
  int64_t parameters() const;         // numbers in all weights
  int64_t active_parameters() const;  // of those, read for one token
  // All weights of its own in one piece, and its size before they are loaded.
  std::span<const std::byte> memory() const;
  int64_t memory_bytes() const { return memory_bytes_; }
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  friend Result<Model> describe_model(const ModelSource& source);
  friend Result<Model> describe_multi_token(const ModelSource& source, const Model& model);
  friend Status load_weights(const ModelSource& source, ThreadPool& pool,
                             const std::function<bool(uint64_t, uint64_t)>& progress, Model& model, bool copy);
  // Finds and describes the weights of the next layer.
  Status add_layer(const ModelSource& source, std::vector<WeightSpec> specs);
  const Architecture* architecture_ = nullptr;
  Config config_;
  std::vector<Weight> weights_;
  std::vector<WeightSpec> specs_;     // of the same index
  std::vector<int64_t> layer_begin_;  // weights_ index where layer i - 1 begins, and where the last one ends
  int64_t memory_bytes_ = 0;
  std::shared_ptr<Buffer> memory_;
  std::shared_ptr<Buffer> shared_;  // another model's, of which this one has weights
  std::vector<std::string> notes_;
};

// Everything about the model but its numbers: every weight found, its shape compared with what the configuration says,
// memory sizes known. Nothing large is read.
Result<Model> describe_model(const ModelSource& source);

// The same of the multi-token layer that the files of a loaded model carry, as a model of one layer. Its embedding and
// output matrix are those of `model`, in whose memory they stay, which this keeps. An error (not_found) where the files
// carry none, which says what was looked for.
Result<Model> describe_multi_token(const ModelSource& source, const Model& model);

// Reads and repacks the weights; those of a packed file are used where they are mapped, or copied into memory of our
// own with 2 MiB pages where `copy` says so. progress(bytes done, bytes of all) is called now and then; returning false
// cancels.
Status load_weights(const ModelSource& source, ThreadPool& pool,
                    const std::function<bool(uint64_t, uint64_t)>& progress, Model& model, bool copy = false);

// Where the rows of one expert's weight stand in the files: from row `first` of the tensor on, as many as it has. The
// weight is one of a model that was described from `source`.
struct FileRows {
  const FileTensor* tensor;
  int64_t first;
};
FileRows file_rows(const ModelSource& source, const WeightSpec& spec, int64_t expert);

// One forward pass: embed, layers, norm, head -> logits [wanted rows, vocab] in the arena, and where asked for the
// hidden states [rows, width] that the output matrix multiplies. When the reader does not keep outputs, the arena is
// reset after each layer and only the state between layers survives.
Tensor forward(Ctx& ctx, const Model& model, Tensor* hidden = nullptr);

}  // namespace landfall
