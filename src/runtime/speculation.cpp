#include "runtime/speculation.h"

#include <algorithm>
#include <cmath>

namespace landfall {
namespace {

constexpr int64_t kLongest = 15;  // a step of 16 rows; the gain of more is small even when all are right

// Weights of the newest observation: a step's time, whether a guess was right, the time of a guess.
constexpr double kNewStep = 1.0 / 32, kNewGuess = 1.0 / 8, kNewTime = 1.0 / 8;

// Before steps of several sizes were seen, a further row is taken to cost this part of a step of one. The belief weighs
// as much as a spread of the rows by a quarter.
constexpr double kFirstSlope = 0.25, kBelief = 1.0 / 16;

// While guesses do not pay, asking for one now and then may take this part of the time.
constexpr double kAskingShare = 0.01;

}  // namespace

Status draw_tokens(const Engine::Logits& logits, int64_t first, std::span<const int32_t> draft, Sampler& sampler,
                   SamplerScratch& scratch, std::vector<int32_t>& out) {
  for (size_t i = 0; i <= draft.size(); ++i) {
    const auto row = logits.row(first + static_cast<int64_t>(i));
    const int32_t token = sampler.draw(row, scratch);
    if (!std::isfinite(row[static_cast<size_t>(token)])) {
      return Status(Code::internal, "the model's output is not a number at position " +
                                        std::to_string(sampler.position()) +
                                        "; the file may be damaged: try 'landfall verify'");
    }
    sampler.accept(token);
    out.push_back(token);
    if (i < draft.size() && draft[i] != token) break;
  }
  return {};
}

void StepCost::observe(int64_t rows, double seconds) {
  weight_ += 1;
  const double share = std::max(1 / weight_, kNewStep), x = static_cast<double>(rows) - rows_, y = seconds - seconds_;
  rows_ += share * x;
  seconds_ += share * y;
  if (weight_ == 1) return;
  rows_variance_ = (1 - share) * (rows_variance_ + share * x * x);
  covariance_ = (1 - share) * (covariance_ + share * x * y);
}

double StepCost::seconds(int64_t rows) const {
  const double believed = kFirstSlope * seconds_ / (1 + kFirstSlope * (rows_ - 1));
  const double slope = (covariance_ + kBelief * believed) / (rows_variance_ + kBelief);
  // Neither the weights nor the rows are read for nothing, whatever a disturbed clock says.
  const double least = 0.02 * seconds_ / rows_, most = seconds_ / rows_;
  return seconds_ + std::clamp(slope, least, most) * (static_cast<double>(rows) - rows_);
}

int64_t draft_length(double right, double guess_seconds, int64_t answers, const StepCost& cost, int64_t most) {
  double tokens = static_cast<double>(answers), probability = 1, best = tokens / cost.seconds(answers);
  int64_t length = 0;
  for (int64_t k = 1; k <= most; ++k) {
    probability *= right;
    tokens += probability;
    const double rate = tokens / (cost.seconds(answers + k) + static_cast<double>(k) * guess_seconds);
    if (rate > best) {
      best = rate;
      length = k;
    }
  }
  return length;
}

std::span<const int32_t> Speculation::draft(int64_t most, int64_t answers, const StepCost& cost) {
  guess_.clear();
  if (most < 1) return {};
  const int64_t length = draft_length(right_, guess_seconds_, answers, cost, std::min(most, kLongest));
  ++silent_;
  if (length == 0 && guess_seconds_ > kAskingShare * static_cast<double>(silent_) * cost.seconds(answers)) return {};
  silent_ = 0;
  const double start = env_.seconds();
  const auto proposed = drafter_->propose(std::max<int64_t>(length, 1));
  guess_.assign(proposed.begin(), proposed.end());
  if (guess_.empty()) return {};
  // The first time the drafter reads the prompt too, which says nothing of later ones.
  const double seconds = (env_.seconds() - start) / static_cast<double>(guess_.size());
  if (++guesses_ > 1) guess_seconds_ += (guesses_ == 2 ? 1 : kNewTime) * (seconds - guess_seconds_);
  return std::span(guess_).first(std::min(guess_.size(), static_cast<size_t>(length)));
}

void Speculation::accept(std::span<const int32_t> tokens) {
  for (size_t i = 0; i < std::min(guess_.size(), tokens.size()); ++i) {
    const bool right = guess_[i] == tokens[i];
    right_ += kNewGuess * ((right ? 1 : 0) - right_);
    if (!right) break;
  }
  guess_.clear();
  drafter_->accept(tokens);
}

}  // namespace landfall
