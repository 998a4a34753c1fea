// Guesses that the text goes on as it did where it last read the same: prompt lookup decoding (Saxena, 2023). The
// longest match of the last tokens wins, the latest of equal ones; the shortest is a pair. Answers that quote, edit or
// summarise gain by it.
//
// Every token links to the one before it that ended the same pair, as a Lempel-Ziv encoder does, so that a token costs
// one look-up and a guess a bounded number of comparisons however long the text is.
#pragma once

#include <unordered_map>
#include <vector>

#include "runtime/drafter.h"

namespace landfall {

class NgramDrafter : public Drafter {
 public:
  explicit NgramDrafter(std::span<const int32_t> prompt) { NgramDrafter::accept(prompt); }

  void accept(std::span<const int32_t> tokens) override;
  std::span<const int32_t> propose(int64_t most) override;

 private:
  std::vector<int32_t> tokens_;
  std::vector<int64_t> earlier_;                  // for each token: where its pair ended before, or -1
  std::unordered_map<uint64_t, int64_t> latest_;  // pair -> where it ended last
  std::vector<int32_t> draft_;
};

}  // namespace landfall
