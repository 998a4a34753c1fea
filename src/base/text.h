// Small questions about texts that come from files and from the network. White space is ASCII's.
#pragma once

#include <string>
#include <string_view>

namespace landfall {

inline constexpr std::string_view kWhiteSpace = " \t\r\n";

inline bool is_blank(std::string_view text) { return text.find_first_not_of(kWhiteSpace) == std::string_view::npos; }

// Without the characters of `away` at both ends.
inline std::string_view trimmed(std::string_view text, std::string_view away = kWhiteSpace) {
  const size_t begin = text.find_first_not_of(away);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(away) - begin + 1);
}

inline std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

}  // namespace landfall
