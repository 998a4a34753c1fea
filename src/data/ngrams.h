// A set of runs of n words, and where they occur in other texts. A text of fewer than n words counts as one run, which
// is its whole. Words as in data/words.h; runs are kept as 64-bit hashes. Reading is safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace landfall {

class NgramSet {
 public:
  explicit NgramSet(size_t n) : of_length_(n + 1) {}  // n from 1

  // Adds the runs of a text and returns them; none for a text without words.
  std::vector<uint64_t> add(std::string_view text);

  // Which runs of the set stand in `text`, in order of their length and place.
  std::vector<uint64_t> found_in(std::string_view text) const;

 private:
  size_t n() const { return of_length_.size() - 1; }
  std::vector<std::unordered_set<uint64_t>> of_length_;  // by words; 0 is empty
};

}  // namespace landfall
