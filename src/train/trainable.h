// The numbers of a model that training changes. The model itself stays as it was loaded, in whatever format: what
// trains is kept here in f32, and steps see it through an Overlay.
//   full   every weight has a trainable copy
//   lora   chosen linear maps get a low-rank addition, y += (alpha / rank) B (A x) (Hu et al., arXiv 2106.09685); on a
//          quantised model that is QLoRA (Dettmers et al., arXiv 2305.14314). A starts random, B at zero.
// Owns values and copies; the model must outlive it. Steps may read the overlay from any thread while nobody publishes.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "model/model.h"
#include "tensor/overlay.h"
#include "tensor/weight.h"

namespace landfall {

struct Parameter {
  std::string name;  // "blk.0.attn_q.weight", for an addition with ".lora_a" or ".lora_b" behind it
  int64_t experts = 1, out = 0, in = 0;
  std::vector<float> value;  // [experts, out, in]
  Weight seen;               // what steps multiply with: value times `factor`, packed, of the precision chosen
  float factor = 1.0f;
  bool decays = false;  // weight decay applies: matrices, not norms and biases
  bool hidden = false;  // a matrix of the layers, not of tokens at either end

  int64_t elements() const { return experts * out * in; }
};

// What steps see of matrices. bf16: rounded to it, and so are the other factors of their products, on the way back too
// (Device::bf16); values, sums and gradients stay f32, and so do the routers, whose choices must not move by rounding
// (Micikevicius et al., "Mixed Precision Training", arXiv 1710.03740).
enum class Precision : uint8_t { f32, bf16 };

struct LoraOptions {
  int64_t rank = 8;
  double alpha = 16;
  std::vector<std::string> targets;  // weight names such as "attn_q"; empty: all linear maps of the layers
  uint64_t seed = 0;
  Precision precision = Precision::f32;
};

// The model's weights need not be loaded yet. An error lists the targets that there are when one is not found.
Status check_targets(const Model& model, const std::vector<std::string>& targets);

// How many numbers these additions have; the targets as check_targets() wants them.
int64_t lora_elements(const Model& model, const LoraOptions& options);

class Trainable {
 public:
  static Result<Trainable> full(const Model& model, ThreadPool& pool, Precision precision = Precision::f32);
  // The targets as check_targets() wants them.
  static Result<Trainable> lora(const Model& model, const LoraOptions& options, ThreadPool& pool);

  std::span<Parameter> parameters() { return parameters_; }
  std::span<const Parameter> parameters() const { return parameters_; }
  // Selection biases of routers [experts], which have no gradient and no decay (train/load_balance.h). Those of a model
  // that is trained in full; of others none.
  std::span<Parameter> selection_biases() { return selection_biases_; }
  int64_t elements() const;
  int64_t seen_bytes() const;  // of all that steps see
  Precision precision() const { return precision_; }
  const Overlay& overlay() const { return *overlay_; }
  bool trains(const Weight& weight) const { return ids_.contains(weight.id); }

  // Shows the values to the steps that follow.
  void publish(ThreadPool& pool);

  // Rows [first, first + count) of an expert of a model's weight as training has made it, additions included:
  // out[count * in].
  void rows(const Weight& weight, int64_t expert, int64_t first, int64_t count, float* out) const;

  // The addition to a weight: A and B with their factor apart; null where there is none.
  struct Addition {
    uint32_t weight;
    const Parameter *a, *b;
  };
  std::span<const Addition> additions() const { return additions_; }

 private:
  explicit Trainable(Precision precision) : precision_(precision) {}
  // Makes room for what steps see of it.
  void allocate(Parameter& parameter, uint32_t id, bool rounded);
  void add(Parameter parameter, uint32_t id, bool rounded = true);
  const Parameter* find(const Weight& weight) const;

  Precision precision_;
  std::vector<Parameter> parameters_, selection_biases_;
  std::vector<Addition> additions_;  // ascending by weight
  std::vector<std::unique_ptr<Buffer>> memory_;
  std::set<uint32_t> ids_;
  std::unique_ptr<Overlay> overlay_;
};

}  // namespace landfall
