#include "model/tokenizer/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <queue>

#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/utf8.h"

namespace landfall {
namespace {

constexpr int64_t kLeastCount = 2;  // a pair that stands once makes nothing shorter

using Pair = uint64_t;  // left id in the upper half
Pair pair_of(uint32_t left, uint32_t right) { return Pair{left} << 32 | right; }
uint32_t left_of(Pair pair) { return static_cast<uint32_t>(pair >> 32); }
uint32_t right_of(Pair pair) { return static_cast<uint32_t>(pair); }

// Ids of bytes: in the order of the characters that spell them.
std::array<uint32_t, 256> byte_order(std::vector<std::string>& tokens) {
  std::vector<std::pair<char32_t, int>> characters;
  for (int byte = 0; byte < 256; ++byte)
    characters.emplace_back(byte_level_character(static_cast<unsigned char>(byte)), byte);
  std::sort(characters.begin(), characters.end());
  std::array<uint32_t, 256> ids{};
  for (const auto& [character, byte] : characters) {
    ids[static_cast<size_t>(byte)] = static_cast<uint32_t>(tokens.size());
    append_utf8(tokens.emplace_back(), character);
  }
  return ids;
}

struct Piece {
  std::vector<uint32_t> ids;
  int64_t count;
};

struct PairState {
  int64_t count = 0;
  std::vector<uint32_t> pieces;  // that have held it; some twice, some no more
};

struct Candidate {
  int64_t count;
  Pair pair;
  // The heap gives the largest: the most frequent, of these the lower pair.
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Merging {
 public:
  explicit Merging(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {
    for (uint32_t at = 0; at < pieces_.size(); ++at) count(at, 1, [](Pair) { return true; });
    grown_.clear();
    for (const auto& [pair, state] : pairs_) heap_.push({state.count, pair});
  }

  // The most frequent pair as it stands now; false when none stands often enough.
  bool best(Pair& out) {
    while (!heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      const auto found = pairs_.find(top.pair);
      const int64_t now = found == pairs_.end() ? 0 : found->second.count;
      if (now != top.count) {  // it has become rarer since; what becomes more frequent is put in again
        if (now >= kLeastCount && now < top.count) heap_.push({now, top.pair});
        continue;
      }
      if (now < kLeastCount) return false;
      out = top.pair;
      return true;
    }
    return false;
  }

  void merge(Pair pair, uint32_t into) {
    std::vector<uint32_t> affected = std::move(pairs_[pair].pieces);
    std::sort(affected.begin(), affected.end());
    affected.erase(std::unique(affected.begin(), affected.end()), affected.end());
    for (const uint32_t at : affected) {
      std::vector<uint32_t>& ids = pieces_[at].ids;
      count(at, -1, [](Pair) { return false; });
      size_t to = 0;
      for (size_t from = 0; from < ids.size(); ++to) {
        const bool here = from + 1 < ids.size() && ids[from] == left_of(pair) && ids[from + 1] == right_of(pair);
        ids[to] = here ? into : ids[from];
        from += here ? 2 : 1;
      }
      ids.resize(to);
      count(at, 1, [&](Pair p) { return left_of(p) == into || right_of(p) == into; });
    }
    pairs_.erase(pair);
    for (const Pair grown : grown_) {
      const auto found = pairs_.find(grown);
      if (found != pairs_.end() && found->second.count >= kLeastCount) heap_.push({found->second.count, grown});
    }
    grown_.clear();
  }

 private:
  // Adds the pairs of a piece, or takes them away. comes(pair): the piece has not held it before.
  template <class Comes>
  void count(uint32_t at, int64_t sign, const Comes& comes) {
    const Piece& piece = pieces_[at];
    for (size_t i = 1; i < piece.ids.size(); ++i) {
      const Pair pair = pair_of(piece.ids[i - 1], piece.ids[i]);
      PairState& state = pairs_[pair];
      state.count += sign * piece.count;
      if (!comes(pair)) continue;
      if (state.pieces.empty() || state.pieces.back() != at) state.pieces.push_back(at);
      grown_.push_back(pair);
    }
  }

  std::vector<Piece> pieces_;
  std::unordered_map<Pair, PairState> pairs_;
  std::priority_queue<Candidate> heap_;
  std::vector<Pair> grown_;  // by the merge at hand
};

}  // namespace

void BpeTrainer::add(std::string_view text) {
  std::string valid;
  if (find_invalid_utf8(text)) {
    valid = to_valid_utf8(text);
    text = valid;
  }
  for (const std::string_view piece : pre_tokenizer_.split(text)) {
    const auto found = counts_.find(piece);
    if (found != counts_.end())
      ++found->second;
    else
      counts_.emplace(piece, 1);
  }
}

Result<LearnedMerges> BpeTrainer::train(int64_t tokens, const std::function<bool(uint64_t, uint64_t)>& progress) const {
  LANDFALL_CHECK(tokens >= 256, std::to_string(tokens));
  LearnedMerges out;
  const std::array<uint32_t, 256> byte_ids = byte_order(out.tokens);
  std::vector<Piece> pieces;
  for (const auto& [text, count] : counts_) {
    Piece& piece = pieces.emplace_back(Piece{{}, count});
    for (const char c : text) piece.ids.push_back(byte_ids[static_cast<unsigned char>(c)]);
  }
  Merging merging(std::move(pieces));
  std::unordered_map<std::string, uint32_t> ids;  // two pairs may spell the same token
  for (const std::string& token : out.tokens) ids.emplace(token, static_cast<uint32_t>(ids.size()));
  Pair pair;
  while (static_cast<int64_t>(out.tokens.size()) < tokens && merging.best(pair)) {
    if (!progress(out.tokens.size(), static_cast<uint64_t>(tokens)))
      return Status(Code::cancelled, "stopped after " + std::to_string(out.merges.size()) + " merges");
    const std::string &left = out.tokens[left_of(pair)], &right = out.tokens[right_of(pair)];
    out.merges.push_back(left + " " + right);
    const auto [token, is_new] = ids.emplace(left + right, static_cast<uint32_t>(out.tokens.size()));
    if (is_new) out.tokens.push_back(token->first);
    merging.merge(pair, token->second);
  }
  return out;
}

}  // namespace landfall
