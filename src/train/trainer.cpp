#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/digest.h"
#include "tensor/access.h"
#include "train/load_balance.h"

namespace landfall {
namespace {

constexpr size_t kRecent = 21;                       // losses that a new one is held against, when there are so many
constexpr int64_t kMostBad = 64, kBadWithin = 1000;  // so many of the last steps; more are no accident

// How far in nats above the median a loss is no longer what data differ by. A batch of text that is one nat a token
// above its neighbours is of another kind or damaged. A pair in the wrong order costs as much as its margin, and
// margins of several nats are what healthy runs reach while their median falls towards 0.
constexpr double kTextExcess = 1, kPairExcess = 10;

std::span<std::byte> bytes_of(std::vector<float>& numbers) { return std::as_writable_bytes(std::span(numbers)); }

// Names, shapes, types and all numbers of the weights, in pieces that the threads share.
std::string digest_of(const Model& model, ThreadPool& pool) {
  constexpr size_t kPiece = size_t{4} << 20;
  std::vector<std::span<const std::byte>> pieces;
  Digest digest;
  for (const Weight& w : model.weights()) {
    digest.update(w.name + " " + std::string(w.format->name) + " " + std::to_string(w.experts) + " " +
                  std::to_string(w.out) + " " + std::to_string(w.in) + "\n");
    const std::span<const std::byte> all(w.buffer->host() + w.offset, static_cast<size_t>(weight_bytes(w)));
    for (size_t at = 0; at < all.size(); at += kPiece)
      pieces.push_back(all.subspan(at, std::min(kPiece, all.size() - at)));
  }
  std::vector<std::string> parts(pieces.size());
  pool.parallel_for(static_cast<int64_t>(pieces.size()), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      Digest part;
      part.update(pieces[static_cast<size_t>(i)]);
      parts[static_cast<size_t>(i)] = part.hex();
    }
  });
  for (const std::string& part : parts) digest.update(part);
  return digest.hex();
}

std::vector<Run> runs_of(const PackedBatch& batch) {
  std::vector<Run> out;
  for (const PackedRun& r : batch.runs) out.push_back({r.first, r.count, 0, static_cast<int32_t>(out.size()), true});
  return out;
}

std::string_view name(Schedule::Shape shape) {
  constexpr std::string_view kNames[] = {"cosine", "linear", "wsd"};
  return kNames[static_cast<size_t>(shape)];
}

double median(std::vector<double> numbers) {
  if (numbers.empty()) return 0;
  const auto middle = numbers.begin() + static_cast<int64_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

Json to_json(const Cursor& c) {
  Json out;
  out.set("epoch", c.epoch).set("position", c.position).set("replay_epoch", c.replay_epoch);
  return out.set("replay_position", c.replay_position).set("tokens", c.tokens).set("replayed", c.replayed);
}

Cursor cursor_of(const Json& j) {
  auto number = [&](std::string_view key) { return static_cast<uint64_t>(std::max<int64_t>(0, j[key].integer())); };
  return {number("epoch"),           number("position"), number("replay_epoch"),
          number("replay_position"), number("tokens"),   number("replayed")};
}

// A file of the checkpoint into pieces that it must fill exactly.
Status restore_part(const Checkpoint& c, const std::string& part, std::span<const std::span<std::byte>> pieces) {
  size_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.size();
  const auto found = c.parts.find(part);
  if (found == c.parts.end() || found->second->bytes().size() != bytes) {
    return Status(Code::data_loss, "checkpoint '" + c.folder + "' has no '" + part + "' of " + std::to_string(bytes) +
                                       " bytes; it is of another model");
  }
  const std::byte* from = found->second->bytes().data();
  for (const auto& piece : pieces) {
    if (piece.empty()) continue;
    std::memcpy(piece.data(), from, piece.size());
    from += piece.size();
  }
  return {};
}

}  // namespace

Trainer::Trainer(Env& env, const Model& model, Trainable& trainable, const Packing& packing, const Packing* validation,
                 ThreadPool& pool, TrainerOptions options)
    : model_(model),
      trainable_(trainable),
      packing_(packing),
      validation_(validation),
      pool_(pool),
      options_(std::move(options)),
      step_(model, trainable, pool, options_.kernels, options_.recompute),
      optimizer_(options_.optimizer, trainable.parameters()),
      checkpoints_(env, options_.folder, options_.keep) {}

// All that the numbers depend on.
Json Trainer::identity() const {
  const Schedule& s = options_.schedule;
  const OptimizerOptions& o = options_.optimizer;
  Json out = options_.identity;
  out.set("model", digest_of(model_, pool_)).set("data", packing_.identity()).set("parameters", trainable_.elements());
  out.set("steps", s.steps).set("warm-up", s.warm_up).set("schedule", name(s.shape)).set("learning rate", s.peak);
  out.set("floor", s.floor_share).set("decay part", s.decay_share).set("batches of a step", options_.accumulate);
  out.set("optimizer", o.kind == OptimizerOptions::Kind::muon ? "muon" : "adamw").set("momentum", o.momentum);
  out.set("beta1", o.beta1).set("beta2", o.beta2).set("epsilon", o.epsilon).set("weight decay", o.weight_decay);
  out.set("clip", o.clip).set("spike", options_.spike);
  if (o.small_moments) out.set("bits of a moment", 8);
  if (options_.preferences) out.set("beta", options_.beta);
  if (options_.balance > 0) out.set("balance", options_.balance);
  if (options_.balance_loss > 0) out.set("balance loss", options_.balance_loss);
  if (options_.patience > 0) {
    out.set("patience", options_.patience).set("validated every", options_.validate_every);
    if (validation_) out.set("validation", validation_->identity());
  }
  return out.set("threads", pool_.threads()).set("kernels", landfall::name(options_.kernels));
}

Result<int64_t> Trainer::open(const TrainerHooks& hooks) {
  identity_ = identity();
  std::vector<std::string> notes;
  auto newest = checkpoints_.newest(notes);
  for (const std::string& note : notes) hooks.on_note(note);
  LANDFALL_TRY(newest.status());
  if (!*newest) {
    LANDFALL_TRY(save());
    return done_;
  }
  const Json &now = identity_, &before = (*newest)->state["identity"];
  for (const Json* side : {&now, &before}) {
    for (const auto& [key, value] : side->object()) {
      if (before[key] == now[key]) continue;
      return Status(Code::failed_precondition, "the run in '" + options_.folder + "' has another " + key + ": " +
                                                   before[key].dump() + ", now it is " + now[key].dump() +
                                                   "; give the same again to continue it, or another folder");
    }
  }
  LANDFALL_TRY(restore(**newest));
  return done_;
}

Status Trainer::save() {
  Json state, left_out{Json::Array{}}, bad_steps{Json::Array{}}, recent{Json::Array{}};
  for (uint64_t batch : left_out_) left_out.push(batch);
  for (int64_t step : bad_steps_) bad_steps.push(step);
  for (double loss : recent_) recent.push(loss);
  state.set("identity", identity_).set("step", done_).set("cursor", to_json(cursor_)).set("batches", batches_);
  state.set("left_out", std::move(left_out)).set("recent", std::move(recent));
  if (!bad_steps_.empty()) state.set("bad_steps", std::move(bad_steps));
  if (best_step_ >= 0) state.set("best_step", best_step_).set("best_loss", best_loss_);
  CheckpointPart values{"values.bin", {}}, first{"first_moments.bin", {}}, second{"second_moments.bin", {}};
  const auto parameters = trainable_.parameters();
  const auto moments = optimizer_.moments();
  for (size_t i = 0; i < parameters.size(); ++i) {
    values.pieces.push_back(bytes_of(parameters[i].value));
    for (const auto piece : {moments[i].first.codes(), moments[i].first.scales()}) first.pieces.push_back(piece);
    for (const auto piece : {moments[i].second.codes(), moments[i].second.scales()}) second.pieces.push_back(piece);
  }
  std::vector<CheckpointPart> parts = {std::move(values), std::move(first), std::move(second)};
  const std::span<Parameter> biases = trainable_.selection_biases();
  if (!biases.empty()) parts.push_back({"selection_biases.bin", {}});
  for (Parameter& p : biases) parts.back().pieces.push_back(bytes_of(p.value));
  LANDFALL_TRY(checkpoints_.save(done_, state, parts, best_step_));
  saved_ = done_;
  return {};
}

Status Trainer::restore(const Checkpoint& c) {
  const auto parameters = trainable_.parameters();
  const auto moments = optimizer_.moments();
  std::vector<std::span<std::byte>> values, first, second, biases;
  for (size_t i = 0; i < parameters.size(); ++i) {
    values.push_back(bytes_of(parameters[i].value));
    for (const auto piece : {moments[i].first.codes(), moments[i].first.scales()}) first.push_back(piece);
    for (const auto piece : {moments[i].second.codes(), moments[i].second.scales()}) second.push_back(piece);
  }
  for (Parameter& p : trainable_.selection_biases()) biases.push_back(bytes_of(p.value));
  LANDFALL_TRY(restore_part(c, "values.bin", values));
  LANDFALL_TRY(restore_part(c, "first_moments.bin", first));
  LANDFALL_TRY(restore_part(c, "second_moments.bin", second));
  if (!biases.empty()) LANDFALL_TRY(restore_part(c, "selection_biases.bin", biases));
  trainable_.publish(pool_);
  done_ = saved_ = c.step;
  cursor_ = cursor_of(c.state["cursor"]);
  batches_ = static_cast<uint64_t>(c.state["batches"].integer());
  recent_.clear();
  for (const Json& loss : c.state["recent"].array()) recent_.push_back(loss.number());
  best_step_ = c.state["best_step"].integer(-1);
  best_loss_ = c.state["best_loss"].number();
  left_out_.clear();
  for (const Json& batch : c.state["left_out"].array()) left_out_.insert(static_cast<uint64_t>(batch.integer()));
  bad_steps_.clear();
  for (const Json& step : c.state["bad_steps"].array()) bad_steps_.push_back(step.integer());
  return {};
}

Result<PackedBatch> Trainer::next_batch() {
  for (;;) {
    LANDFALL_ASSIGN(PackedBatch batch, packing_.next(cursor_));
    if (!left_out_.contains(batches_++)) return batch;
  }
}

Trainer::Objective Trainer::objective(const PackedBatch& batch, const TrainingRows& rows) {
  if (!options_.preferences) return {0, std::vector<double>(static_cast<size_t>(batch.learned), 1.0)};
  PreferenceLoss loss = preference_loss(batch, step_.losses(rows), step_.losses(rows, true), options_.beta);
  return {loss.sum, std::move(loss.weights)};
}

Result<Trainer::Attempt> Trainer::attempt() {
  Attempt out;
  out.first_batch = batches_;
  std::vector<PackedBatch> batches;
  double divisor = 0;  // learned tokens, or pairs
  for (int64_t i = 0; i < options_.accumulate; ++i) {
    LANDFALL_ASSIGN(PackedBatch batch, next_batch());
    divisor += options_.preferences ? static_cast<double>(batch.runs.size()) / 2 : static_cast<double>(batch.learned);
    out.report.tokens += static_cast<int64_t>(batch.tokens.size());
    batches.push_back(std::move(batch));
  }
  out.last_batch = batches_;
  step_.zero_gradients();
  double sum = 0;
  for (const PackedBatch& batch : batches) {
    const std::vector<Run> runs = runs_of(batch);
    const TrainingRows rows{batch.tokens, batch.positions, batch.targets, runs};
    const Objective objective = this->objective(batch, rows);
    std::vector<double> weights = objective.weights;
    for (double& w : weights) w /= divisor;
    const double losses =
        step_.add_gradients(rows, weights, options_.balance_loss / static_cast<double>(out.report.tokens));
    sum += options_.preferences ? objective.sum : losses;
  }
  std::vector<Tensor> gradients;
  for (const Parameter& p : trainable_.parameters()) gradients.push_back(step_.gradient(p));
  StepReport& r = out.report;
  r.loss = sum / divisor;
  r.norm = Optimizer::norm(trainable_.parameters(), gradients, pool_);
  r.learning_rate = options_.schedule.at(done_);
  r.epoch = cursor_.epoch;
  r.steps = options_.schedule.steps;
  r.step = done_ + 1;
  for (const Parameter& p : trainable_.selection_biases()) r.imbalance.push_back(load_imbalance(step_.loads(p)));
  if (!std::isfinite(r.loss) || !std::isfinite(r.norm) || is_spike(r.loss)) return out;
  if (options_.balance > 0) {
    for (Parameter& p : trainable_.selection_biases()) move_selection_bias(p.value, step_.loads(p), options_.balance);
  }
  optimizer_.update(trainable_.parameters(), gradients, r.norm, r.learning_rate, done_, pool_, options_.kernels);
  trainable_.publish(pool_);
  recent_.push_back(r.loss);
  if (recent_.size() > kRecent) recent_.erase(recent_.begin());
  ++done_;
  return out;
}

bool Trainer::is_spike(double loss) const {
  if (recent_.empty()) return false;
  const double usual = median(recent_), guessing = std::log(static_cast<double>(model_.config().vocab));
  double least = usual + (options_.preferences ? kPairExcess : kTextExcess);
  // Of few losses the median says little, but a model that is far worse than one that guesses is broken.
  if (recent_.size() < kRecent && !options_.preferences) least = std::max(least, 1.5 * guessing);
  return loss > options_.spike * usual && loss > least;
}

Status Trainer::go_back(const Attempt& bad, const TrainerHooks& hooks) {
  const int64_t step = done_ + 1;
  if (bad.first_batch == 0) {
    return Status(Code::data_loss, "the first step has a loss of " + std::to_string(bad.report.loss) +
                                       " and a gradient with a norm of " + std::to_string(bad.report.norm) +
                                       " before anything was learned: the model or the data give numbers that are not "
                                       "finite; see what 'landfall perplexity' says, or take another file");
  }
  std::set<uint64_t> left_out = left_out_;
  for (uint64_t batch = bad.first_batch; batch < bad.last_batch; ++batch) left_out.insert(batch);
  std::vector<int64_t> bad_steps = bad_steps_;
  std::erase_if(bad_steps, [&](int64_t earlier) { return earlier <= step - kBadWithin; });
  if (static_cast<int64_t>(bad_steps.size()) >= kMostBad) {
    return Status(Code::failed_precondition,
                  "step " + std::to_string(step) + " has a loss of " + std::to_string(bad.report.loss) + ", and " +
                      std::to_string(bad_steps.size()) + " of the last " + std::to_string(kBadWithin) +
                      " steps have been left out before it; the run diverges: lower --learning-rate, and start again "
                      "in another folder");
  }
  bad_steps.push_back(step);
  char text[160];
  std::snprintf(text, sizeof text,
                "step %lld has a loss of %g (median of the recent ones %.3f), its gradient a norm of %g",
                static_cast<long long>(step), bad.report.loss, median(recent_), bad.report.norm);
  std::vector<std::string> notes;
  LANDFALL_ASSIGN(const auto newest, checkpoints_.newest(notes));
  LANDFALL_CHECK(newest.has_value(), "open() has saved one");
  LANDFALL_TRY(restore(*newest));
  left_out_ = std::move(left_out);
  bad_steps_ = std::move(bad_steps);
  hooks.on_note(std::string(text) + ": back to step " + std::to_string(done_) + ", without its data");
  return {};
}

Status Trainer::run(const TrainerHooks& hooks) {
  while (done_ < options_.schedule.steps && !out_of_patience()) {
    if (hooks.stop && hooks.stop()) {
      if (saved_ != done_) LANDFALL_TRY(save());
      return Status(Code::cancelled, "stopped at step " + std::to_string(done_) + " of " +
                                         std::to_string(options_.schedule.steps) +
                                         "; the same command continues there");
    }
    const int64_t before = done_;
    LANDFALL_ASSIGN(const Attempt attempt, this->attempt());
    if (done_ == before) {
      LANDFALL_TRY(go_back(attempt, hooks));
      continue;
    }
    hooks.on_step(attempt.report);
    const bool last = done_ == options_.schedule.steps;
    bool best = false;
    if (validation_ && (last || done_ % options_.validate_every == 0)) {
      LANDFALL_ASSIGN(const double loss, validation_loss());
      hooks.on_validation(done_, loss);
      best = is_best(loss);
    }
    if (last || best || done_ % options_.save_every == 0) LANDFALL_TRY(save());
  }
  return take_best(hooks);
}

bool Trainer::is_best(double loss) {
  if (options_.patience == 0 || (best_step_ >= 0 && !(loss < best_loss_))) return false;
  best_step_ = done_;
  best_loss_ = loss;
  return true;
}

bool Trainer::out_of_patience() const {
  return options_.patience > 0 && best_step_ >= 0 &&
         done_ / options_.validate_every - best_step_ / options_.validate_every >= options_.patience;
}

Status Trainer::take_best(const TrainerHooks& hooks) {
  if (best_step_ < 0 || best_step_ == done_) return {};
  const int64_t last = done_;
  LANDFALL_ASSIGN(const Checkpoint best, checkpoints_.read(best_step_));
  LANDFALL_TRY(restore(best));
  char text[160];
  std::snprintf(text, sizeof text,
                "validation was best behind step %lld (%.4f): the weights are those, not the ones of step %lld",
                static_cast<long long>(best_step_), best_loss_, static_cast<long long>(last));
  hooks.on_note(text);
  return {};
}

Result<int64_t> Trainer::memory_bytes() const {
  Cursor cursor;
  LANDFALL_ASSIGN(const PackedBatch batch, packing_.next(cursor));
  const std::vector<Run> runs = runs_of(batch);
  // values and gradients, what steps see, and moments
  return trainable_.elements() * 8 + trainable_.seen_bytes() + optimizer_.bytes() +
         step_.activation_bytes({batch.tokens, batch.positions, batch.targets, runs});
}

Result<double> Trainer::validation_loss() {
  LANDFALL_CHECK(validation_ != nullptr);
  constexpr uint64_t kMostBatches = 32;
  Cursor cursor;
  double sum = 0, divisor = 0;
  const uint64_t count = std::min(kMostBatches, validation_->batches(1));
  for (uint64_t i = 0; i < count; ++i) {
    LANDFALL_ASSIGN(const PackedBatch batch, validation_->next(cursor));
    const std::vector<Run> runs = runs_of(batch);
    const TrainingRows rows{batch.tokens, batch.positions, batch.targets, runs};
    if (options_.preferences) {
      sum += objective(batch, rows).sum;
      divisor += static_cast<double>(batch.runs.size()) / 2;
    } else {
      for (double loss : step_.losses(rows)) sum += loss;
      divisor += static_cast<double>(batch.learned);
    }
  }
  return sum / std::max(1.0, divisor);
}

}  // namespace landfall
