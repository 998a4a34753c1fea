// What guesses tokens for the answers of a model: look-up of n-grams in each request's own text, the model's own
// multi-token layer or a smaller model, which all requests share. Belongs, with what it begins, to the thread that
// steps the model's Engine.
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
  // `draft`: "ngram", "mtp" for the multi-token layer, or the path of a model; the cache of either holds as many
  // positions as that of `target`. Progress as in load_weights. Errors: those of load(); no such layer in the files
  // (not_found); another vocabulary (invalid_argument); no memory for both (resource_exhausted).
  static Result<std::unique_ptr<Drafting>> load(Env& env, const std::string& draft, const Loaded& target,
                                                const std::function<bool(uint64_t, uint64_t)>& progress);

  int64_t used_bytes() const { return engine_ ? engine_->used_bytes() : 0; }

  std::unique_ptr<Speculation> begin(const SamplerSettings& settings, std::span<const int32_t> prompt) const;

 private:
  explicit Drafting(Env& env) : env_(env) {}
  Env& env_;
  std::unique_ptr<Engine> engine_;  // null: n-grams
  int32_t vocab_ = 0;               // of a smaller model
};

}  // namespace landfall
