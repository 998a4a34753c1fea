// What guesses tokens for the answers of a model: look-up of n-grams in each request's own text, or a smaller model
// that all requests share. Belongs, with what it begins, to the thread that steps the model's Engine.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/env.h"
#include "runtime/load.h"
#include "runtime/speculation.h"

namespace landfall {

class Drafting {
 public:
  // `draft`: "ngram", or the path of a model, whose cache is as large as that of `target`. Progress as in load_weights.
  // Errors: those of load(); another vocabulary (invalid_argument); no memory for both (resource_exhausted).
  static Result<std::unique_ptr<Drafting>> load(Env& env, const std::string& draft, const Loaded& target,
                                                const std::function<bool(uint64_t, uint64_t)>& progress);

  int64_t used_bytes() const { return engine_ ? engine_->used_bytes() : 0; }

  std::unique_ptr<Speculation> begin(const SamplerSettings& settings, std::span<const int32_t> prompt) const;

 private:
  explicit Drafting(Env& env) : env_(env) {}
  Env& env_;
  std::unique_ptr<Engine> engine_;  // null: n-grams
  int32_t vocab_ = 0;
};

}  // namespace landfall
