// Finds texts that are almost the same as an earlier one: MinHash signatures of their word shingles, looked up by
// bands. Sources: Broder, "On the resemblance and containment of documents" (1997); the bands: Leskovec, Rajaraman,
// Ullman, "Mining of Massive Datasets", chapter 3; what it gains: Lee et al., "Deduplicating Training Data Makes
// Language Models Better" (2022).
//
// A text is the set of its shingles, runs of five words; a word is letters and digits without case, or one character of
// a script that is written without spaces. 128 hash functions each keep the smallest hash of the set; the share of them
// in which two texts agree estimates the share of shingles that they have in common, with a standard error of at most
// 0.044. Texts meet when one of 16 bands of 8 agrees: 95 % of those with 0.8 in common, 0.1 % with 0.3. Only an
// agreement of 0.8 drops a text. The result depends on the texts and their order alone. One thread; some 1.5 kB for
// each text kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace landfall {

class NearDuplicates {
 public:
  static constexpr size_t kHashes = 128, kBands = 16, kRows = kHashes / kBands;
  static constexpr double kThreshold = 0.8;
  using Signature = std::array<uint32_t, kHashes>;

  // Whether an earlier text is almost the same; if not, the text is remembered. Linear in the text's length.
  bool seen(std::string_view text);

  static Signature signature_of(std::string_view text);
  static double agreement(const Signature& a, const Signature& b);

 private:
  std::vector<Signature> kept_;
  std::unordered_map<uint64_t, std::vector<uint32_t>> bands_;  // of the kept texts, by a hash of band and its values
};

}  // namespace landfall
