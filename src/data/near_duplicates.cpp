#include "data/near_duplicates.h"

#include <algorithm>

#include "base/counter_random.h"
#include "data/words.h"

namespace landfall {
namespace {

constexpr size_t kShingle = 5;  // words
// Texts that share a band without being duplicates are rare unless someone means them to be many.
constexpr size_t kMaxMeetings = 32;

struct HashFunctions {
  // h(x) = (multiplier x + offset) >> 32: universal for odd multipliers (Dietzfelbinger et al. 1997).
  std::array<uint64_t, NearDuplicates::kHashes> multiplier, offset;
  HashFunctions() {
    for (size_t i = 0; i < multiplier.size(); ++i) {
      multiplier[i] = splitmix64(2 * i) | 1;
      offset[i] = splitmix64(2 * i + 1);
    }
  }
};

}  // namespace

NearDuplicates::Signature NearDuplicates::signature_of(std::string_view text) {
  static const HashFunctions functions;
  Signature out;
  out.fill(UINT32_MAX);
  const std::vector<uint64_t> words = word_hashes(text);
  const size_t shingle = std::max<size_t>(1, std::min(kShingle, words.size()));
  for (size_t i = 0; i + shingle <= words.size(); ++i) {
    uint64_t hash = 0;
    for (size_t k = 0; k < shingle; ++k) hash = splitmix64(hash + words[i + k]);
    for (size_t f = 0; f < out.size(); ++f) {
      out[f] = std::min(out[f], static_cast<uint32_t>((functions.multiplier[f] * hash + functions.offset[f]) >> 32));
    }
  }
  return out;
}

double NearDuplicates::agreement(const Signature& a, const Signature& b) {
  int same = 0;
  for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i];
  return static_cast<double>(same) / kHashes;
}

bool NearDuplicates::seen(std::string_view text) {
  const Signature signature = signature_of(text);
  if (signature[0] == UINT32_MAX) return false;  // no words to compare
  std::array<uint64_t, kBands> keys;
  for (size_t band = 0; band < kBands; ++band) {
    uint64_t key = splitmix64(band + 1);
    for (size_t row = 0; row < kRows; ++row) key = splitmix64(key + signature[band * kRows + row]);
    keys[band] = key;
    const auto met = bands_.find(key);
    if (met == bands_.end()) continue;
    for (const uint32_t other : met->second) {
      if (agreement(signature, kept_[other]) >= kThreshold) return true;
    }
  }
  const auto number = static_cast<uint32_t>(kept_.size());
  kept_.push_back(signature);
  for (const uint64_t key : keys) {
    std::vector<uint32_t>& texts = bands_[key];
    if (texts.size() < kMaxMeetings) texts.push_back(number);
  }
  return false;
}

}  // namespace landfall
