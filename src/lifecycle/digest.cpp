#include "lifecycle/digest.h"

#include <algorithm>
#include <cstdio>

namespace landfall {

Status in_pieces(std::span<const std::byte> data, const Watch& watch, uint64_t before, uint64_t total,
                 const std::function<Status(std::span<const std::byte>)>& use) {
  constexpr size_t kPiece = size_t{4} << 20;
  for (size_t at = 0; at < data.size(); at += kPiece) {
    if (watch.stop()) return Status(Code::cancelled, "stopped");
    LANDFALL_TRY(use(data.subspan(at, std::min(kPiece, data.size() - at))));
    watch.at(before + std::min(at + kPiece, data.size()), total);
  }
  return {};
}

Result<std::string> sha256_of_file(Env& env, const std::string& path, const Watch& watch, uint64_t before,
                                   uint64_t total) {
  LANDFALL_ASSIGN(const auto file, env.map(path));
  Digest digest;
  LANDFALL_TRY(in_pieces(file->bytes(), watch, before, total, [&](std::span<const std::byte> piece) {
    digest.update(piece);
    return Status();
  }));
  return digest.hex();
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string size_text(uint64_t bytes) {
  const char* units[] = {"bytes", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

}  // namespace landfall
