// Guesses the next tokens of one request for less than the model's own price. A wrong guess costs time and never
// changes an answer (see speculation.h). One request, one thread.
#pragma once

#include <cstdint>
#include <span>

namespace landfall {

class Drafter {
 public:
  virtual ~Drafter() = default;

  // The model read the tokens from `position` on, some of which may be guesses that turn out wrong, and these are its
  // hidden states [rows, width] of them. Comes before accept() of what was drawn from them, and again for tokens that
  // are read again; tokens whose rows were found in the cache have none.
  virtual void read(int64_t /*position*/, std::span<const float> /*hidden*/) {}
  // `tokens` stand behind what it was given before.
  virtual void accept(std::span<const int32_t> tokens) = 0;
  // What may come next: at most `most` tokens (1 or more), none where there is no guess. Valid until the next call.
  virtual std::span<const int32_t> propose(int64_t most) = 0;
};

}  // namespace landfall
