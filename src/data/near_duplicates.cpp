#include "data/near_duplicates.h"

#include <algorithm>

#include "data/words.h"

namespace landfall {
namespace {

constexpr size_t kShingle = 5;  // words
// Texts that share a band without being duplicates are rare unless someone means them to be many.
constexpr size_t kMaxMeetings = 32;

// The finaliser of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

struct HashFunctions {
  // h(x) = (multiplier x + offset) >> 32: universal for odd multipliers (Dietzfelbinger et al. 1997).
  std::array<uint64_t, NearDuplicates::kHashes> multiplier, offset;
  HashFunctions() {
    uint64_t counter = 0;
    for (size_t i = 0; i < multiplier.size(); ++i) {
      multiplier[i] = mixed(counter += 0x9E3779B97F4A7C15u) | 1;
      offset[i] = mixed(counter += 0x9E3779B97F4A7C15u);
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
    for (size_t k = 0; k < shingle; ++k) hash = mixed(hash + 0x9E3779B97F4A7C15u + words[i + k]);
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
    uint64_t key = mixed(band + 1);
    for (size_t row = 0; row < kRows; ++row) key = mixed(key + signature[band * kRows + row]);
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
