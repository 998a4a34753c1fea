#include "base/huge_pages.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace landfall {
namespace {

// "Rss:      1234 kB" -> bytes, when the line has this key.
bool value_of(std::string_view line, std::string_view key, int64_t& bytes) {
  if (!line.starts_with(key)) return false;
  line.remove_prefix(key.size());
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  int64_t kibibytes = 0;
  std::from_chars(line.data(), line.data() + line.size(), kibibytes);
  bytes = kibibytes * 1024;
  return true;
}

// The first line of a mapping, "7f00-7f80 rw-p 00000000 00:00 0   /path": five fields, then the path or nothing.
bool is_mapping(std::string_view line, std::string_view& path) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.substr(0, space).find('-') == std::string_view::npos) return false;
  for (int field = 0; field < 5; ++field) {
    const size_t end = line.find(' ');
    line.remove_prefix(std::min(end, line.size()));
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  }
  path = line;
  return true;
}

}  // namespace

PagesInUse read_smaps(std::string_view smaps, std::string_view file) {
  constexpr int64_t kHuge = int64_t{2} << 20;
  PagesInUse out;
  std::string_view path;
  int64_t size = 0, resident = 0, bytes = 0;
  while (!smaps.empty()) {
    const size_t end = std::min(smaps.find('\n'), smaps.size());
    const std::string_view line = smaps.substr(0, end);
    smaps.remove_prefix(std::min(end + 1, smaps.size()));
    if (is_mapping(line, path)) {
      size = resident = 0;
    } else if (value_of(line, "Size:", size)) {
    } else if (value_of(line, "Rss:", resident)) {
      if (!file.empty() && path == file) out.file.resident += resident;
      if (path.empty() && size >= kHuge) out.anonymous.resident += resident;
    } else if (value_of(line, "AnonHugePages:", bytes)) {
      if (path.empty() && size >= kHuge) out.anonymous.huge += bytes;
    } else if (value_of(line, "FilePmdMapped:", bytes)) {
      if (!file.empty() && path == file) out.file.huge += bytes;
    }
  }
  return out;
}

PagesInUse pages_in_use(Env& env, std::string_view file) {
  const auto text = env.read("/proc/self/smaps", size_t{64} << 20);
  return text.ok() ? read_smaps(*text, file) : PagesInUse{};
}

}  // namespace landfall
