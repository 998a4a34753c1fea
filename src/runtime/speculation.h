// Several tokens of an answer from one step (speculative decoding; Leviathan et al., arXiv 2211.17192): a Drafter
// guesses tokens, one step reads them all, and they stand for as long as the request's own Sampler draws the same.
// Because logits do not depend on how tokens are cut into steps (see Engine) and a draw depends on nothing but its
// logits, settings, seed and position, the answer is the plain one to the last bit, at any temperature.
//
// How many tokens are guessed follows from what steps cost and how many guesses were right lately: none where they do
// not pay. One thread for all of it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/env.h"
#include "runtime/drafter.h"
#include "runtime/engine.h"
#include "runtime/sampler.h"

namespace landfall {

// The next tokens of an answer: draws from row `first` of the logits, which is that of the last token, and for each of
// `draft` that is drawn from the row behind it: 1 to draft + 1 tokens, appended to `out` and accepted by the sampler.
// An error when logits are not numbers (internal).
Status draw_tokens(const Engine::Logits& logits, int64_t first, std::span<const int32_t> draft, Sampler& sampler,
                   SamplerScratch& scratch, std::vector<int32_t>& out);

// Seconds of a step by its number of rows: a line through the last steps, that is the reading of the weights and so
// much for each row.
class StepCost {
 public:
  void observe(int64_t rows, double seconds);
  double seconds(int64_t rows) const;

 private:
  double weight_ = 0;  // of what was observed; newer steps count more
  double rows_ = 1, seconds_ = 1, rows_variance_ = 0, covariance_ = 0;
};

// How many tokens to guess, at most `most`, so that the most tokens come in a second: when each guess is right with the
// probability `right` if those before it were, costs `guess_seconds`, and `answers` rows are in the step anyway.
int64_t draft_length(double right, double guess_seconds, int64_t answers, const StepCost& cost, int64_t most);

// The guesses of one request.
class Speculation {
 public:
  Speculation(Env& env, std::unique_ptr<Drafter> drafter) : env_(env), drafter_(std::move(drafter)) {}

  // Tokens for the next step to read behind the last one, in which `answers` answers go on: at most `most`, often none.
  // Valid until the next call.
  std::span<const int32_t> draft(int64_t most, int64_t answers, const StepCost& cost);
  // As of Drafter.
  void read(int64_t position, std::span<const float> hidden) { drafter_->read(position, hidden); }
  // The tokens that came instead, or as guessed.
  void accept(std::span<const int32_t> tokens);

 private:
  Env& env_;
  std::unique_ptr<Drafter> drafter_;
  std::vector<int32_t> guess_;  // the draft, or one token beside a step to see whether guesses would be right
  double right_ = 0.5;          // share of guesses
  double guess_seconds_ = 0;    // of one token
  int64_t guesses_ = 0;         // timed so far
  int64_t silent_ = 0;          // steps since the drafter was asked
};

}  // namespace landfall
