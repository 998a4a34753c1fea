#include "model/split_files.h"

#include <algorithm>
#include <cctype>

namespace landfall {
namespace {

constexpr size_t kDigits = 5;

std::string five(int n) {
  const std::string out = std::to_string(n);
  return std::string(kDigits - std::min(kDigits, out.size()), '0') + out;
}

// "name-00002-of-00005.gguf" -> stem "name", count 5
bool split_name(std::string_view path, std::string_view extension, std::string& stem, int& count) {
  if (!path.ends_with(extension)) return false;
  path.remove_suffix(extension.size());
  constexpr std::string_view kShape = "-#####-of-#####";
  if (path.size() < kShape.size()) return false;
  const std::string_view end = path.substr(path.size() - kShape.size());
  for (size_t i = 0; i < kShape.size(); ++i) {
    const bool fits = kShape[i] == '#' ? std::isdigit(static_cast<unsigned char>(end[i])) != 0 : end[i] == kShape[i];
    if (!fits) return false;
  }
  stem = path.substr(0, path.size() - kShape.size());
  count = std::stoi(std::string(end.substr(kShape.size() - kDigits)));
  return true;
}

}  // namespace

Result<std::vector<std::string>> all_parts(Env& env, const std::string& path, std::string_view extension) {
  std::string stem;
  int parts = 1;
  if (!split_name(path, extension, stem, parts)) return std::vector<std::string>{path};
  if (parts < 1 || parts > 9999)
    return Status(Code::invalid_argument, "'" + path + "' names " + std::to_string(parts) + " parts");
  std::vector<std::string> out;
  for (int i = 1; i <= parts; ++i) {
    out.push_back((stem + "-").append(five(i)).append("-of-").append(five(parts)).append(extension));
    if (!env.exists(out.back())) {
      return Status(Code::not_found, "part " + std::to_string(i) + " of " + std::to_string(parts) + " is missing: '" +
                                         out.back() + "'; put it beside the others");
    }
  }
  return out;
}

}  // namespace landfall
