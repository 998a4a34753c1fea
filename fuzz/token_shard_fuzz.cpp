// Hostile tokenised documents, under a digest that is right, so that every number behind it is tried too. What is
// accepted can be read from end to end.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/digest.h"
#include "data/token_shard.h"

using namespace landfall;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kDigest = 64;
  constexpr int32_t kVocab = 1000;
  std::vector<std::byte> bytes(size);
  if (size) std::memcpy(bytes.data(), data, size);
  if (size > kDigest) {
    Digest digest;
    digest.update(std::span<const std::byte>(bytes).first(size - kDigest));
    std::memcpy(bytes.data() + size - kDigest, digest.hex().data(), kDigest);
  }
  const Result<TokenShard> shard = read_token_shard(bytes, kVocab);
  if (!shard.ok()) {
    LANDFALL_CHECK(shard.status().code() == Code::data_loss && !shard.status().message().empty());
    return 0;
  }
  uint64_t tokens = 0;
  for (uint64_t i = 0; i < shard->ends.size(); ++i) {
    const std::span<const MarkedToken> document = shard->document(i);
    LANDFALL_CHECK(!document.empty() && document.size() <= shard->context);
    LANDFALL_CHECK(std::all_of(document.begin(), document.end(), [](MarkedToken t) { return token_of(t) < kVocab; }));
    tokens += document.size();
  }
  LANDFALL_CHECK(tokens == shard->tokens.size());
  return 0;
}
