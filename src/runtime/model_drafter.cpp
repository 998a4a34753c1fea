#include "runtime/model_drafter.h"

#include <algorithm>

namespace landfall {
namespace {

// Tokens that one call reads: the model's own steps, which are other requests' too, wait for it.
constexpr size_t kReadAtOnce = 64;

}  // namespace

ModelDrafter::ModelDrafter(Engine& engine, int32_t vocab, const SamplerSettings& settings,
                           std::span<const int32_t> prompt)
    : engine_(engine),
      vocab_(vocab),
      tokens_(prompt.begin(), prompt.end()),
      sampler_(settings, prompt),
      ahead_(sampler_),
      drafted_at_(prompt.size()) {}

ModelDrafter::~ModelDrafter() {
  if (sequence_ >= 0) engine_.close(sequence_);
}

void ModelDrafter::accept(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    // All drafted tokens but the last have been read.
    const size_t at = tokens_.size(), ahead = at - drafted_at_;
    if (read_ == at && ahead + 1 < draft_.size() && draft_[ahead] == token) ++read_;
    tokens_.push_back(token);
    sampler_.accept(token);
  }
}

// Reads what has been accepted since, for the logits behind it; of a long prompt a part.
Result<Engine::Logits> ModelDrafter::read_on() {
  if (sequence_ < 0) {
    LANDFALL_ASSIGN(sequence_, engine_.open());
  }
  LANDFALL_TRY(engine_.truncate(sequence_, static_cast<int64_t>(read_)));
  const size_t count = std::min({kReadAtOnce, static_cast<size_t>(engine_.options().batch), tokens_.size() - read_});
  const Engine::Work work{sequence_, {tokens_.data() + read_, count}, read_ + count == tokens_.size() ? 1 : 0};
  auto logits = engine_.step({&work, 1});
  if (logits.ok()) read_ += count;
  return logits;
}

std::span<const int32_t> ModelDrafter::propose(int64_t most) {
  draft_.clear();
  drafted_at_ = tokens_.size();
  if (tokens_.empty()) return {};
  ahead_ = sampler_;
  auto logits = read_on();
  while (logits.ok() && read_ == drafted_at_) {
    const auto row = logits->row(0);
    draft_.push_back(ahead_.draw(row.first(std::min(row.size(), static_cast<size_t>(vocab_))), scratch_));
    if (static_cast<int64_t>(draft_.size()) >= most) break;
    ahead_.accept(draft_.back());
    const Engine::Work work{sequence_, {&draft_.back(), 1}, 1};
    logits = engine_.step({&work, 1});
  }
  return draft_;
}

}  // namespace landfall
