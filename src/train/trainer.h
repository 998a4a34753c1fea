// A training run from its first step to its last: batches, gradients, updates, checkpoints, and what to do when a step
// goes wrong. Stopped at any instant it continues from its newest checkpoint, and with the same threads and kernel set
// ends with the same weights, bit for bit, as a run that was never stopped.
//
// A step whose loss or gradient is not finite, or whose loss is far above the recent ones, does not count: the run goes
// back to the last checkpoint, leaves that step's batches out from then on, and says so. When that happens often, or to
// the first step, the run ends with an error. With patience, a run ends when validation has got no better for some
// time, and its weights are those of the best validation.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "data/packing.h"
#include "train/checkpoint.h"
#include "train/optimizer.h"
#include "train/preference.h"
#include "train/schedule.h"
#include "train/step.h"

namespace landfall {

struct TrainerOptions {
  Schedule schedule;  // and how many steps there are
  OptimizerOptions optimizer;
  int64_t accumulate = 1;  // batches of a step
  Recompute recompute = Recompute::none;
  KernelSet kernels = KernelSet::scalar;
  bool preferences = false;  // the data are preferences: the loss is that of preference.h, a pair's
  double beta = 0.1;
  double balance = 0;  // by how much a step moves selection biases of experts (train/load_balance.h); 0: not at all
  double balance_loss = 0;  // weight of balance_loss(), mean over rows, beside a token's loss
  // A loss this many times the median of the recent ones does not count, if it is far above it in nats too.
  double spike = 3.0;

  std::string folder;  // of checkpoints
  int keep = 3;
  int64_t save_every = 100;      // steps
  int64_t validate_every = 100;  // steps; with validation data only
  int64_t patience = 0;          // validations in a row that bring no better loss before a run ends; 0: it does not
  // More of what must be the same for a run to be continued, such as the method: shown when it is not.
  Json identity;
};

struct StepReport {
  int64_t step = 0, steps = 0;  // done, of all
  double loss = 0;              // mean over learned tokens in nats, or over pairs
  double norm = 0;              // of all gradients
  double learning_rate = 0;
  int64_t tokens = 0;  // of this step
  // Of each layer with a selection bias: the rows of its busiest expert over the mean.
  std::vector<double> imbalance;
  uint64_t epoch = 0;
};

struct TrainerHooks {
  std::function<void(const StepReport&)> on_step;
  std::function<void(int64_t step, double loss)> on_validation;
  std::function<void(const std::string&)> on_note;
  std::function<bool()> stop;  // asked between steps; a run that stops saves first
};

class Trainer {
 public:
  // All must outlive it. validation: null for none.
  Trainer(Env& env, const Model& model, Trainable& trainable, const Packing& packing, const Packing* validation,
          ThreadPool& pool, TrainerOptions options);

  // Continues the run in the folder, or starts one there. An error when the folder's run is another, naming what
  // differs; its files are left as they are. The step that the run stands at.
  Result<int64_t> open(const TrainerHooks& hooks);
  // To the last step, or until stopped (cancelled, after a checkpoint).
  Status run(const TrainerHooks& hooks);

  // Mean loss of the validation data as the weights stand.
  Result<double> validation_loss();
  // About the most bytes that parameters, moments, gradients and activations take beside the loaded model; activations
  // are those of the first batch.
  Result<int64_t> memory_bytes() const;

 private:
  struct Attempt {
    StepReport report;
    uint64_t first_batch = 0, last_batch = 0;  // by number, from 0; last excluded
  };
  // The loss that is not a plain sum over rows, and every learned row's weight in the gradient.
  struct Objective {
    double sum;
    std::vector<double> weights;
  };
  Objective objective(const PackedBatch& batch, const TrainingRows& rows);
  Result<Attempt> attempt();
  Status save();
  Status restore(const Checkpoint& checkpoint);
  bool is_spike(double loss) const;
  Status go_back(const Attempt& bad, const TrainerHooks& hooks);
  Json identity() const;
  Result<PackedBatch> next_batch();
  // Whether this loss of validation is the best so far.
  bool is_best(double loss);
  bool out_of_patience() const;
  // Goes back to the weights of the best validation.
  Status take_best(const TrainerHooks& hooks);

  const Model& model_;
  Trainable& trainable_;
  const Packing& packing_;
  const Packing* validation_;
  ThreadPool& pool_;
  TrainerOptions options_;
  Step step_;
  Optimizer optimizer_;
  CheckpointFolder checkpoints_;
  Json identity_;  // set by open()

  int64_t done_ = 0;      // steps
  Cursor cursor_;         // the next batch
  uint64_t batches_ = 0;  // drawn so far, those left out too
  std::set<uint64_t> left_out_;
  std::vector<int64_t> bad_steps_;  // whose batches these were, in the order in which they were met
  std::vector<double> recent_;      // losses, the newest last
  int64_t saved_ = -1;              // step of the newest checkpoint
  double best_loss_ = 0;            // of the best validation, with patience
  int64_t best_step_ = -1;          // none yet
};

}  // namespace landfall
