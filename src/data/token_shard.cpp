#include "data/token_shard.h"

#include <algorithm>
#include <cstring>

namespace landfall {
namespace {

constexpr std::string_view kMagic = "LNDFTOKS";
constexpr uint32_t kVersion = 1;
constexpr size_t kHexDigest = 64;
constexpr size_t kHeader = 8 + 4 + 4 + 8 + kHexDigest;
constexpr size_t kNumbers = 7;
constexpr size_t kFooter = kNumbers * 8 + kHexDigest;
constexpr size_t kBuffer = size_t{1} << 20;

template <class T>
T number_at(std::span<const std::byte> bytes, size_t at) {
  T out;
  std::memcpy(&out, bytes.data() + at, sizeof out);
  return out;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Status damaged(const std::string& cause) { return Status(Code::data_loss, "tokenised documents: " + cause); }

}  // namespace

TokenShardWriter::TokenShardWriter(Sink sink, RowShape shape, uint64_t context, const std::string& key)
    : sink_(std::move(sink)) {
  LANDFALL_CHECK(key.size() == kHexDigest);
  const auto put = [&](const auto& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  };
  const auto magic = std::as_bytes(std::span(kMagic.data(), kMagic.size()));
  buffer_.assign(magic.begin(), magic.end());
  put(kVersion);
  put(static_cast<uint32_t>(shape));
  put(context);
  const auto bytes = std::as_bytes(std::span(key.data(), key.size()));
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Status TokenShardWriter::flush() {
  digest_.update(buffer_);
  LANDFALL_TRY(sink_(buffer_));
  buffer_.clear();
  return {};
}

Status TokenShardWriter::write(std::span<const std::byte> bytes) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return buffer_.size() < kBuffer ? Status() : flush();
}

Status TokenShardWriter::add(const MarkedTokens& document) {
  LANDFALL_CHECK(!document.empty());
  ends_.push_back((ends_.empty() ? 0 : ends_.back()) + document.size());
  learned_ += static_cast<uint64_t>(std::count_if(document.begin() + 1, document.end(), is_learned));
  return write(std::as_bytes(std::span(document)));
}

Status TokenShardWriter::finish(ShardCounts counts) {
  const uint64_t tokens = ends_.empty() ? 0 : ends_.back();
  constexpr std::byte kZero[4] = {};
  if (tokens % 2) LANDFALL_TRY(write(kZero));
  LANDFALL_TRY(write(std::as_bytes(std::span(ends_))));
  const uint64_t numbers[kNumbers] = {ends_.size(),           tokens,     counts.rows, counts.bad,
                                      counts.near_duplicates, counts.cut, learned_};
  LANDFALL_TRY(write(std::as_bytes(std::span(numbers))));
  LANDFALL_TRY(flush());
  const std::string digest = digest_.hex();
  return sink_(std::as_bytes(std::span(digest.data(), digest.size())));
}

Result<TokenShard> read_token_shard(std::span<const std::byte> bytes, int32_t vocab) {
  if (bytes.size() < kHeader + kFooter) return damaged("only " + std::to_string(bytes.size()) + " bytes");
  if (text_of(bytes.first(kMagic.size())) != kMagic) return damaged("the file is of another kind");
  if (const auto version = number_at<uint32_t>(bytes, 8); version != kVersion)
    return damaged("version " + std::to_string(version) + ", and this program reads " + std::to_string(kVersion));
  const auto shape = number_at<uint32_t>(bytes, 12);
  if (shape > static_cast<uint32_t>(RowShape::preference)) return damaged("rows of shape " + std::to_string(shape));

  TokenShard out;
  out.shape = static_cast<RowShape>(shape);
  out.context = number_at<uint64_t>(bytes, 16);
  out.key = text_of(bytes.subspan(24, kHexDigest));
  const size_t footer = bytes.size() - kFooter;
  uint64_t numbers[kNumbers];
  std::memcpy(numbers, bytes.data() + footer, sizeof numbers);
  const uint64_t documents = numbers[0], tokens = numbers[1], room = footer - kHeader;
  out.counts = {numbers[2], numbers[3], numbers[4], numbers[5], numbers[6]};
  // Each number is below the file's size before it is multiplied, so nothing overflows.
  if (documents == 0 || documents > room / 8 || tokens > room / 4 ||
      (tokens + tokens % 2) * 4 + documents * 8 != room) {
    return damaged(std::to_string(documents) + " documents of " + std::to_string(tokens) + " tokens do not fill " +
                   std::to_string(room) + " bytes");
  }
  Digest digest;
  digest.update(bytes.first(bytes.size() - kHexDigest));
  if (digest.hex() != text_of(bytes.last(kHexDigest))) return damaged("the digest is of other bytes");

  LANDFALL_CHECK(reinterpret_cast<uintptr_t>(bytes.data()) % alignof(uint64_t) == 0);
  const size_t ends_at = kHeader + (tokens + tokens % 2) * 4;
  out.tokens = {reinterpret_cast<const MarkedToken*>(bytes.data() + kHeader), tokens};
  out.ends = {reinterpret_cast<const uint64_t*>(bytes.data() + ends_at), documents};
  if (out.shape == RowShape::preference && documents % 2) return damaged("a preference has no second answer");
  uint64_t begin = 0;
  for (uint64_t i = 0; i < documents; ++i) {
    if (out.ends[i] <= begin || out.ends[i] > tokens || out.ends[i] - begin > out.context)
      return damaged("document " + std::to_string(i) + " ends at token " + std::to_string(out.ends[i]));
    begin = out.ends[i];
  }
  if (begin != tokens) return damaged(std::to_string(tokens - begin) + " tokens belong to no document");
  for (const MarkedToken token : out.tokens) {
    if (token_of(token) >= vocab) {
      return damaged("token " + std::to_string(token_of(token)) + ", and the vocabulary has " + std::to_string(vocab));
    }
  }
  return out;
}

}  // namespace landfall
