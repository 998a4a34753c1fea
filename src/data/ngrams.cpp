#include "data/ngrams.h"

#include <algorithm>
#include <span>

#include "base/counter_random.h"
#include "data/words.h"

namespace landfall {
namespace {

uint64_t hash_of(std::span<const uint64_t> words) {
  uint64_t out = words.size();
  for (const uint64_t word : words) out = splitmix64(out + word);
  return out;
}

}  // namespace

std::vector<uint64_t> NgramSet::add(std::string_view text) {
  const std::vector<uint64_t> words = word_hashes(text);
  std::vector<uint64_t> out;
  const size_t length = std::min(n(), words.size());
  if (length == 0) return out;
  for (size_t i = 0; i + length <= words.size(); ++i) {
    out.push_back(hash_of(std::span(words).subspan(i, length)));
    of_length_[length].insert(out.back());
  }
  return out;
}

std::vector<uint64_t> NgramSet::found_in(std::string_view text) const {
  const std::vector<uint64_t> words = word_hashes(text);
  std::vector<uint64_t> out;
  for (size_t length = 1; length < of_length_.size(); ++length) {
    if (of_length_[length].empty()) continue;
    for (size_t i = 0; i + length <= words.size(); ++i) {
      const uint64_t hash = hash_of(std::span(words).subspan(i, length));
      if (of_length_[length].contains(hash)) out.push_back(hash);
    }
  }
  return out;
}

}  // namespace landfall
