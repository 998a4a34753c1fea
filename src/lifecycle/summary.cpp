#include "lifecycle/summary.h"

#include <algorithm>

#include "base/text.h"

namespace landfall {
namespace {

constexpr std::string_view kAroundValues = " \t\r\"'";

}  // namespace

std::vector<FormatShare> formats_of(const ModelSource& source) {
  std::vector<FormatShare> out;
  for (const FileTensor& tensor : source.tensors()) {
    auto it = std::find_if(out.begin(), out.end(), [&](const FormatShare& f) { return f.format == tensor.type_name; });
    if (it == out.end()) it = out.insert(out.end(), FormatShare{tensor.type_name});
    it->tensors += 1;
    it->weights += tensor.rows() * tensor.columns();
    it->bytes += tensor.data.empty() && tensor.format ? static_cast<size_t>(tensor.rows() * tensor.row_bytes())
                                                      : tensor.data.size() + tensor.scales.size();
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const FormatShare& a, const FormatShare& b) { return a.bytes > b.bytes; });
  return out;
}

std::string licence_in_front_matter(std::string_view readme) {
  if (readme.rfind("---", 0) != 0) return "";
  std::string licence, name;
  size_t at = readme.find('\n');
  while (at != std::string_view::npos) {
    const size_t end = readme.find('\n', at + 1);
    const std::string_view line = readme.substr(at + 1, (end == std::string_view::npos ? readme.size() : end) - at - 1);
    if (line.rfind("---", 0) == 0) break;
    if (line.rfind("license:", 0) == 0) licence = trimmed(line.substr(8), kAroundValues);
    if (line.rfind("license_name:", 0) == 0) name = trimmed(line.substr(13), kAroundValues);
    at = end;
  }
  return (licence == "other" || licence.empty()) && !name.empty() ? name : licence;
}

std::string licence_of(Env& env, const ModelSource& source) {
  if (source.kind == ModelSource::Kind::gguf) {
    if (const std::string& licence = source.config["general.license"].string(); !licence.empty()) return licence;
  }
  const std::string folder(env.is_directory(source.path) ? std::string_view(source.path) : folder_of(source.path));
  if (const std::string readme = join_path(folder, "README.md"); env.exists(readme)) {
    if (auto text = env.read(readme, 16 << 20); text.ok()) {
      if (std::string licence = licence_in_front_matter(*text); !licence.empty()) return licence;
    }
  }
  return env.exists(join_path(folder, "LICENSE")) ? "see LICENSE" : "";
}

Result<ModelSummary> summarize(Env& env, const std::string& path) {
  LANDFALL_ASSIGN(const ModelSource source, ModelSource::open(env, path));
  LANDFALL_ASSIGN(const Model model, describe_model(source));
  ModelSummary out;
  out.architecture = source.architecture;
  out.parameters = model.parameters();
  out.licence = licence_of(env, source);
  // The vectors that stay in F32 say nothing about how a model is quantised: the largest share does.
  if (const std::vector<FormatShare> formats = formats_of(source); !formats.empty())
    out.quantization = formats[0].format;
  return out;
}

}  // namespace landfall
