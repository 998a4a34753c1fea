// The file in which tokenised documents are kept, little-endian, every part at a multiple of its own size:
//
//   bytes                what
//   8                    "LNDFTOKS"
//   4, 4                 version; the shape of the rows (RowShape)
//   8                    context: the most tokens of a document
//   64                   key: digest in hex of what the documents were made from and how
//   4 n                  tokens, marked (example_encoder.h), one document after another
//   4 if n is odd        zero
//   8 m                  where each document ends, in tokens
//   7 x 8                m, n, and the counts of ShardCounts
//   64                   SHA-256 of all bytes before, in hex
//
// What stands at the end is known only when all is written, so a writer appends alone and holds one number for each
// document. A reader checks all of it before anything is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/result.h"
#include "data/example_encoder.h"

namespace landfall {

// How the documents came about, kept for those who find them made.
struct ShardCounts {
  uint64_t rows = 0;             // of the source
  uint64_t bad = 0;              // rows in quarantine
  uint64_t near_duplicates = 0;  // rows left out because an earlier one is almost the same
  uint64_t cut = 0;              // rows of text longer than the context
  uint64_t learned = 0;          // tokens
  bool operator==(const ShardCounts&) const = default;
};

class TokenShardWriter {
 public:
  using Sink = std::function<Status(std::span<const std::byte>)>;
  TokenShardWriter(Sink sink, RowShape shape, uint64_t context, const std::string& key);

  Status add(const MarkedTokens& document);  // not empty, not longer than the context
  Status finish(ShardCounts counts);         // `learned` is counted here
  uint64_t documents() const { return ends_.size(); }

 private:
  Status write(std::span<const std::byte> bytes);
  Status flush();

  Sink sink_;
  Digest digest_;
  std::vector<std::byte> buffer_;
  std::vector<uint64_t> ends_;
  uint64_t learned_ = 0;
};

// Views into the bytes of a shard.
struct TokenShard {
  RowShape shape = RowShape::documents;
  uint64_t context = 0;
  std::string key;
  std::span<const MarkedToken> tokens;
  std::span<const uint64_t> ends;
  ShardCounts counts;

  std::span<const MarkedToken> document(uint64_t i) const {
    const uint64_t begin = i ? ends[i - 1] : 0;
    return tokens.subspan(begin, ends[i] - begin);
  }
};

// `bytes` begin at a multiple of 8. An error says what is damaged; tokens are below `vocab`.
Result<TokenShard> read_token_shard(std::span<const std::byte> bytes, int32_t vocab);

}  // namespace landfall
