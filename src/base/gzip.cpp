#include "base/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <memory>

namespace landfall {

Result<std::string> gunzip(std::string_view packed, size_t limit) {
  constexpr size_t kPiece = size_t{1} << 20;
  constexpr int kGzipOnly = 16 + MAX_WBITS;
  z_stream stream{};
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) return Status(Code::resource_exhausted, "too little memory to unpack");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  const auto fed = [&] { return packed.substr(0, std::min<size_t>(packed.size(), std::numeric_limits<uInt>::max())); };
  std::string out;
  size_t used = 0;
  bool in_member = true;  // no member at all is damage too
  while (in_member || !packed.empty()) {
    const std::string_view piece = fed();
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(piece.data()));  // zlib reads it only
    stream.avail_in = static_cast<uInt>(piece.size());
    if (out.size() - used < kPiece) out.resize(used + kPiece);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(kPiece);
    const int state = inflate(&stream, Z_NO_FLUSH);
    const size_t taken = piece.size() - stream.avail_in, made = kPiece - stream.avail_out;
    packed.remove_prefix(taken);
    used += made;
    if (used > limit) {
      return Status(Code::resource_exhausted, "unpacked it is longer than " + std::to_string(limit) + " bytes");
    }
    in_member = state != Z_STREAM_END;
    if (state == Z_STREAM_END && !packed.empty()) inflateReset(&stream);
    if (state != Z_STREAM_END && (state != Z_OK || (taken == 0 && made == 0))) {
      return Status(Code::data_loss, "not a whole gzip file: " + std::to_string(used) +
                                         " bytes could be unpacked; fetch or install it anew");
    }
  }
  out.resize(used);
  return out;
}

}  // namespace landfall
