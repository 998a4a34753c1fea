// One training step's loss and gradients: mean cross-entropy of the targets of packed documents. Layers that are not
// kept are computed again on the way back (activation checkpointing; Chen et al., "Training Deep Nets with Sublinear
// Memory Cost", arXiv 1604.06174). Logits are made for some rows at a time, so that a large vocabulary takes little
// memory. Gradients are the same bit for bit whichever layers are kept, and on any number of threads.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "model/model.h"
#include "train/tape.h"
#include "train/trainable.h"

namespace landfall {

// Rows of documents, each a run of its own with positions from 0.
struct TrainingRows {
  std::span<const int32_t> tokens, positions, targets;  // [rows]; a target of -1: not learned
  std::span<const Run> runs;
};

// Which activations a step keeps for the way back: the states between segments of layers. A segment is computed again
// with all of its activations, or, in two levels, with the states between its layers, which are then computed once
// more.
struct Recompute {
  int64_t segment = 0;  // layers; 0: sqrt(layers)
  bool two_level = false;
  static const Recompute none, layer, two_levels;
  auto operator<=>(const Recompute&) const = default;
};
inline constexpr Recompute Recompute::none{INT64_MAX}, Recompute::layer{1}, Recompute::two_levels{0, true};

class Step {
 public:
  // All must outlive it. Activations are exact but for the rounding of Precision::bf16.
  Step(const Model& model, const Trainable& trainable, ThreadPool& pool, KernelSet kernels, Recompute recompute);

  // Adds the gradients of the sum over learned rows of weight times loss to those so far. weights: one for each learned
  // row, in order. Returns the sum of losses without weights. balance: where it is not 0, each layer's balance_loss()
  // of each run counts too, times this and the run's rows; the returned sum is without it.
  double add_gradients(const TrainingRows& rows, std::span<const double> weights, double balance = 0);
  // The loss of each learned row. reference: of the model as it was loaded, without what training has made of it.
  std::vector<double> losses(const TrainingRows& rows, bool reference = false);

  // About the most that add_gradients() will keep at once, scratch included; nothing is computed.
  int64_t activation_bytes(const TrainingRows& rows) const;
  // What add_gradients() and losses() have kept at once at most so far, scratch included.
  int64_t peak_bytes() const;

  // Of a parameter's `seen` weight: [experts, out, in] f32; without memory where nothing has reached it.
  Tensor gradient(const Parameter& parameter) const { return tape_.weight_gradient(parameter.seen.id); }
  // How many rows have chosen each expert of the layer with this selection bias; empty when none has.
  std::span<const int64_t> loads(const Parameter& selection_bias) const;
  // Forgets the loads too.
  void zero_gradients();

 private:
  class Pass;
  Device device() const { return {kernels_, true, trainable_.precision() == Precision::bf16}; }
  void count_loads();  // of what is on the tape
  // Puts the balance losses of what is on the tape there too, and the seeds of their gradients in the list.
  void add_balance(Ctx& ctx, double weight, std::vector<Tape::Seed>& seeds);
  const Model& model_;
  const Trainable& trainable_;
  ThreadPool& pool_;
  KernelSet kernels_;
  Recompute recompute_;
  Tape tape_;       // layers
  Tape head_tape_;  // norm to loss; its weights' gradients go to tape_
  Arena arena_;     // states kept during a pass
  Arena scratch_;
  std::map<uint32_t, std::vector<int64_t>> loads_;  // by selection bias
};

}  // namespace landfall
