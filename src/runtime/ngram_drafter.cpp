#include "runtime/ngram_drafter.h"

#include <algorithm>
#include <utility>

namespace landfall {
namespace {

constexpr int64_t kPlaces = 32;   // earlier places that are compared
constexpr int64_t kLongest = 32;  // tokens; a longer match says no more

}  // namespace

void NgramDrafter::accept(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) {
    const auto at = static_cast<int64_t>(tokens_.size());
    int64_t earlier = -1;
    if (at > 0) {
      const uint64_t pair = uint64_t{static_cast<uint32_t>(tokens_.back())} << 32 | static_cast<uint32_t>(token);
      const auto [place, first] = latest_.try_emplace(pair, at);
      if (!first) earlier = std::exchange(place->second, at);
    }
    tokens_.push_back(token);
    earlier_.push_back(earlier);
  }
}

std::span<const int32_t> NgramDrafter::propose(int64_t most) {
  draft_.clear();
  const auto size = static_cast<int64_t>(tokens_.size());
  auto token = [&](int64_t i) { return tokens_[static_cast<size_t>(i)]; };
  int64_t best = -1, longest = 0, place = size > 0 ? earlier_.back() : -1;
  for (int64_t n = 0; n < kPlaces && place >= 0; ++n, place = earlier_[static_cast<size_t>(place)]) {
    int64_t length = 2;
    while (length < std::min(kLongest, place + 1) && token(place - length) == token(size - 1 - length)) ++length;
    if (length > longest) {
      longest = length;
      best = place;
    }
  }
  if (best < 0) return {};
  // A match that reaches into the end of the text goes on with the guess itself: a loop is guessed as a loop.
  for (int64_t i = best + 1; static_cast<int64_t>(draft_.size()) < most; ++i)
    draft_.push_back(i < size ? token(i) : draft_[static_cast<size_t>(i - size)]);
  return draft_;
}

}  // namespace landfall
