// Learns the merges of byte-level byte-pair encoding from text: again and again the most frequent pair of neighbouring
// tokens within the pieces of a pre-tokenizer becomes a token (Sennrich, Haddow, Birch, arXiv 1508.07909). Of equally
// frequent pairs the one with the lower ids goes first, tokens in the order in which they came, bytes in the order of
// the characters that spell them, as in the published trainer; so the same text gives the same merges, in any order
// of its documents.
//
// Pairs are counted once, and afterwards only in the pieces that a merge changes; a heap finds the next one. Memory
// holds each different piece once. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/tokenizer/pre_tokenizer.h"

namespace landfall {

struct LearnedMerges {
  std::vector<std::string> tokens;  // spelled by byte_level.h: the 256 bytes, then what merges make
  std::vector<std::string> merges;  // "left right", most frequent first
};

class BpeTrainer {
 public:
  explicit BpeTrainer(PreTokenizer pre_tokenizer) : pre_tokenizer_(std::move(pre_tokenizer)) {}

  // Bytes that are not UTF-8 count as U+FFFD.
  void add(std::string_view text);
  // Different pieces so far.
  size_t pieces() const { return counts_.size(); }

  // Up to `tokens` tokens, at least the 256 bytes: fewer where no pair is left that stands twice. progress(tokens so
  // far, wanted) returning false cancels.
  Result<LearnedMerges> train(int64_t tokens, const std::function<bool(uint64_t, uint64_t)>& progress) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  PreTokenizer pre_tokenizer_;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> counts_;  // of each piece
};

}  // namespace landfall
