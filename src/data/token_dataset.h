// Tokenised documents of some files, ready for packing. Made once and kept as a shard file beside the others of a cache
// folder (data/token_shard.h), under a name that is a digest of the files' bytes and of everything that decides what
// becomes of them; a later run finds it there and maps it. Immutable after open(); safe from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "data/example_encoder.h"
#include "data/examples.h"
#include "data/token_shard.h"

namespace landfall {

struct TokenDatasetOptions {
  int64_t context = 0;                // the most tokens of a document; 2 or more
  bool drop_near_duplicates = false;  // rows that are almost the same as an earlier one (data/near_duplicates.h)
  std::string cache_folder;           // where shards are kept; empty: in memory alone
  std::string quarantine;             // where bad rows go (data/examples.h); empty: nowhere
  std::function<bool(uint64_t done, uint64_t total)> progress;  // bytes of the files; false stops
};

class TokenDataset {
 public:
  // The files, one or more, as ExampleReader takes them; preferences do not mix with other kinds. Rows that the encoder
  // refuses join those that cannot be read. A shard that is damaged or cannot be read is made again, and so is one
  // whose bad rows are wanted in a quarantine file that is not there. One that cannot be written is an error. One
  // process at a time uses a cache folder: what an earlier one left half-written is removed.
  static Result<TokenDataset> open(Env& env, const std::vector<std::string>& files, const ExampleEncoder& encoder,
                                   const TokenDatasetOptions& options);

  RowShape shape() const { return shard_.shape; }
  Example::Kind kind() const { return kind_of(shard_.shape); }
  // Documents that only make sense together: the two answers of a preference, chosen first; else 1.
  uint64_t documents_of_a_unit() const { return kind() == Example::Kind::preference ? 2 : 1; }
  uint64_t documents() const { return shard_.ends.size(); }
  std::span<const MarkedToken> document(uint64_t i) const { return shard_.document(i); }
  uint64_t tokens() const { return shard_.tokens.size(); }
  int64_t context() const { return static_cast<int64_t>(shard_.context); }
  const ShardCounts& counts() const { return shard_.counts; }
  // The same for the same content, wherever the files lie.
  const std::string& identity() const { return shard_.key; }

  // Lines for people: what the files are, what came of them, and the first bad rows where they were read just now.
  std::string summary() const;
  // What was read; empty when the shard was there, of which only counts() tells.
  const ReadReport& report() const { return report_; }
  bool from_cache() const { return from_cache_; }

 private:
  TokenDataset() = default;

  std::unique_ptr<MappedFile> file_;
  std::vector<std::byte> memory_;  // when there is no file
  TokenShard shard_;
  std::vector<std::string> names_;  // of the files
  ReadReport report_;
  bool from_cache_ = false;
};

}  // namespace landfall
