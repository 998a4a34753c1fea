#include "runtime/mtp_drafter.h"

#include <algorithm>

namespace landfall {

MtpDrafter::MtpDrafter(Engine& engine, const SamplerSettings& settings, std::span<const int32_t> prompt)
    : engine_(engine),
      width_(engine.model().config().width),
      tokens_(prompt.begin(), prompt.end()),
      sampler_(settings, prompt),
      ahead_(sampler_) {}

MtpDrafter::~MtpDrafter() {
  if (sequence_ >= 0) engine_.close(sequence_);
}

void MtpDrafter::read(int64_t position, std::span<const float> hidden) {
  const auto rows = static_cast<int64_t>(hidden.size()) / width_;
  if (position > end()) {  // what is between was found in the model's cache
    begin_ = position;
    read_ = 0;
    hidden_.clear();
  }
  const int64_t known = std::min(end() - position, rows);
  hidden_.insert(hidden_.end(), hidden.begin() + known * width_, hidden.end());
  while (ready() >= engine_.options().batch) {  // a long prompt does not wait as a whole
    if (!read_rows(engine_.options().batch).ok()) return;
  }
}

void MtpDrafter::accept(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    tokens_.push_back(token);
    sampler_.accept(token);
  }
  // The last token has not been read, and what the model read in its place, or behind, were wrong guesses.
  hidden_.resize(static_cast<size_t>(ready() * width_));
}

// The first `count` of the waiting rows go through the layer, for the logits of the last. Without room for them the
// layer begins anew behind them.
Result<Engine::Logits> MtpDrafter::read_rows(int64_t count) {
  if (sequence_ < 0) {
    LANDFALL_ASSIGN(sequence_, engine_.open());
  }
  LANDFALL_TRY(engine_.truncate(sequence_, read_));
  const Engine::Work work{
      sequence_, std::span(tokens_).subspan(static_cast<size_t>(begin_ + read_ + 1), static_cast<size_t>(count)), 1,
      std::span(hidden_).first(static_cast<size_t>(count * width_))};
  auto logits = engine_.step({&work, 1});
  hidden_.erase(hidden_.begin(), hidden_.begin() + count * width_);
  if (logits.ok()) {
    read_ += count;
  } else {
    begin_ += read_ + count;
    read_ = 0;
  }
  return logits;
}

std::span<const int32_t> MtpDrafter::propose(int64_t most) {
  draft_.clear();
  if (waiting() == 0 || end() + 1 != static_cast<int64_t>(tokens_.size())) return {};
  ahead_ = sampler_;
  const int64_t batch = engine_.options().batch;
  auto logits = read_rows(std::min(waiting(), batch));
  while (logits.ok() && waiting() > 0) logits = read_rows(std::min(waiting(), batch));
  std::vector<float> hidden;
  while (logits.ok()) {
    draft_.push_back(ahead_.draw(logits->row(0), scratch_));
    if (static_cast<int64_t>(draft_.size()) >= most) break;
    ahead_.accept(draft_.back());
    const auto last = logits->hidden.last(static_cast<size_t>(width_));
    hidden.assign(last.begin(), last.end());  // the next step takes its memory
    const Engine::Work work{sequence_, {&draft_.back(), 1}, 1, hidden};
    logits = engine_.step({&work, 1});
  }
  return draft_;
}

}  // namespace landfall
