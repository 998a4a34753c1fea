// Guesses with the multi-token layer that DeepSeek-V3's files carry (arXiv 2412.19437, section 2.2): from the model's
// hidden state of a token and the next token it guesses the one after that, and from its own hidden states, more
// roughly, further ones. It draws with the request's own settings, seed and positions, as ModelDrafter does.
//
// The layer has a cache of its own, one row for each token that has both a hidden state and a next token. A token whose
// rows the request found in the model's cache has no hidden state, so the layer looks back to what the request itself
// read last without a gap: behind a reused prefix it guesses from less, and worse at first. Where the Engine has no
// room left, there is no guess. The Engine is of describe_multi_token(), is shared by the drafters of one thread and
// outlives them.
#pragma once

#include <algorithm>
#include <vector>

#include "runtime/drafter.h"
#include "runtime/engine.h"
#include "runtime/sampler.h"

namespace landfall {

class MtpDrafter : public Drafter {
 public:
  MtpDrafter(Engine& engine, const SamplerSettings& settings, std::span<const int32_t> prompt);
  ~MtpDrafter() override;
  MtpDrafter(const MtpDrafter&) = delete;
  MtpDrafter& operator=(const MtpDrafter&) = delete;

  void read(int64_t position, std::span<const float> hidden) override;
  void accept(std::span<const int32_t> tokens) override;
  std::span<const int32_t> propose(int64_t most) override;

 private:
  int64_t waiting() const { return static_cast<int64_t>(hidden_.size()) / width_; }
  // Of the token behind those whose hidden states came.
  int64_t end() const { return begin_ + read_ + waiting(); }
  // Waiting ones whose next token is known.
  int64_t ready() const { return std::min(waiting(), static_cast<int64_t>(tokens_.size()) - 1 - begin_ - read_); }
  Result<Engine::Logits> read_rows(int64_t count);

  Engine& engine_;
  const int64_t width_;
  Engine::SequenceId sequence_ = -1;
  std::vector<int32_t> tokens_;
  int64_t begin_ = 0;          // position of the first row in the layer's cache
  int64_t read_ = 0;           // rows there, without those of guesses
  std::vector<float> hidden_;  // [waiting, width] of the tokens behind them
  Sampler sampler_, ahead_;
  SamplerScratch scratch_;
  std::vector<int32_t> draft_;
};

}  // namespace landfall
