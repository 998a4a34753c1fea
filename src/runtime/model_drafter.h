// Guesses with a smaller model of the same vocabulary (Leviathan et al., arXiv 2211.17192). It draws with the request's
// own settings, seed and positions, so that where the two models agree on the probabilities they agree on the token, at
// any temperature. The Engine is shared by the drafters of one thread and outlives them; each has a sequence of its
// own, which is cut back to the accepted tokens. A long prompt is read in parts, one a call, with no guess until it
// ends; where the Engine has no room left, there is none either.
#pragma once

#include <vector>

#include "runtime/drafter.h"
#include "runtime/engine.h"
#include "runtime/sampler.h"

namespace landfall {

class ModelDrafter : public Drafter {
 public:
  // Only the first `vocab` tokens of the Engine's model are guessed.
  ModelDrafter(Engine& engine, int32_t vocab, const SamplerSettings& settings, std::span<const int32_t> prompt);
  ~ModelDrafter() override;
  ModelDrafter(const ModelDrafter&) = delete;
  ModelDrafter& operator=(const ModelDrafter&) = delete;

  void accept(std::span<const int32_t> tokens) override;
  std::span<const int32_t> propose(int64_t most) override;

 private:
  Result<Engine::Logits> read_on();

  Engine& engine_;
  int32_t vocab_;
  Engine::SequenceId sequence_ = -1;
  std::vector<int32_t> tokens_;
  size_t read_ = 0;  // tokens_ whose rows are in the Engine's cache
  Sampler sampler_, ahead_;
  SamplerScratch scratch_;
  std::vector<int32_t> draft_;  // behind the tokens that were there when it was made
  size_t drafted_at_ = 0;       // how many those were
};

}  // namespace landfall
