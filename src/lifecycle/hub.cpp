#include "lifecycle/hub.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "base/env.h"
#include "base/json.h"
#include "base/text.h"
#include "lifecycle/digest.h"
#include "lifecycle/store.h"

namespace landfall {
namespace {

constexpr size_t kMaxListBytes = size_t{64} << 20;
constexpr int kMaxPages = 100;
constexpr int64_t kMaxFileBytes = int64_t{1} << 44;  // 16 TiB
constexpr size_t kMaxFiles = 100'000;

// Text from a peer, for one line on a terminal.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 300)) out += static_cast<unsigned char>(c) < 32 || c == 127 ? ' ' : c;
  return out;
}

// The address of the next page in a Link header: <...>; rel="next".
std::string next_page(const HttpResponse& response) {
  const std::string link = response.header("link");
  const size_t rel = link.find("rel=\"next\"");
  if (rel == std::string::npos) return "";
  const size_t begin = link.rfind('<', rel), end = link.find('>', begin == std::string::npos ? 0 : begin);
  return begin == std::string::npos || end == std::string::npos || end > rel ? ""
                                                                             : link.substr(begin + 1, end - begin - 1);
}

Result<HubFile> file_from_json(const Json& row) {
  HubFile out;
  out.path = row["path"].string();
  const Json& lfs = row["lfs"];
  const int64_t size = lfs.is_object() ? lfs["size"].integer(-1) : row["size"].integer(-1);
  if (size < 0 || size > kMaxFileBytes) {
    return Status(Code::data_loss,
                  "the hub gives the file '" + printable(out.path) + "' the impossible size " + std::to_string(size));
  }
  out.size = static_cast<uint64_t>(size);
  if (lfs.is_object()) {
    std::string oid = lfs["oid"].string();
    if (oid.rfind("sha256:", 0) == 0) oid = oid.substr(7);
    if (!is_hex(oid, 64))
      return Status(Code::data_loss, "the hub gives no proper checksum for the file '" + printable(out.path) + "'");
    out.sha256 = oid;
  } else if (is_hex(row["oid"].string(), 40)) {
    out.git_oid = row["oid"].string();
  }
  return out;
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

// A GGUF file's name without folder, ".gguf" and the part's number; `part` and `parts` are 1 when it is not split.
struct GgufName {
  std::string stem;
  int part = 1, parts = 1;
};
GgufName split_name(std::string_view path) {
  std::string_view stem = file_name(path);
  stem.remove_suffix(5);
  GgufName out{std::string(stem)};
  // "-00001-of-00003"
  if (stem.size() > 15 && stem[stem.size() - 15] == '-' && stem.substr(stem.size() - 9, 4) == "-of-" &&
      all_digits(stem.substr(stem.size() - 14, 5)) && all_digits(stem.substr(stem.size() - 5))) {
    out.part = std::atoi(std::string(stem.substr(stem.size() - 14, 5)).c_str());
    out.parts = std::atoi(std::string(stem.substr(stem.size() - 5)).c_str());
    out.stem = stem.substr(0, stem.size() - 15);
  }
  return out;
}

struct GgufModel {
  std::string folder, stem, label;
  int parts = 1;
  std::vector<std::pair<int, HubFile>> files;  // by part
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const auto& [part, file] : files) sum += file.size;
    return sum;
  }
};

std::vector<GgufModel> gguf_models(const std::vector<HubFile>& files) {
  std::vector<GgufModel> out;
  for (const HubFile& file : files) {
    const std::string name = ascii_lower(file_name(file.path));
    // Files beside a language model: the part that sees pictures, statistics for quantising.
    if (!name.ends_with(".gguf") || name.rfind("mmproj", 0) == 0 || name.find("imatrix") != std::string::npos) continue;
    const GgufName split = split_name(file.path);
    const std::string folder(folder_of(file.path));
    auto it = std::find_if(out.begin(), out.end(), [&](const GgufModel& m) {
      return m.folder == folder && m.stem == split.stem && m.parts == split.parts;
    });
    if (it == out.end())
      it = out.insert(out.end(), GgufModel{folder, split.stem, quantization_in_name(file.path), split.parts, {}});
    it->files.emplace_back(split.part, file);
  }
  for (GgufModel& model : out) {
    std::sort(model.files.begin(), model.files.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  }
  return out;
}

bool means(const GgufModel& model, const std::string& wanted) {
  const std::string w = ascii_lower(wanted);
  if (ascii_lower(model.label) == w || ascii_lower(model.stem) == w) return true;
  return std::any_of(model.files.begin(), model.files.end(), [&](const auto& f) {
    return f.second.path == wanted || ascii_lower(file_name(f.second.path)) == w;
  });
}

std::string choices(const std::vector<const GgufModel*>& models) {
  std::string out;
  for (const GgufModel* m : models)
    out += (out.empty() ? "" : ", ") + (m->label.empty() ? m->stem : m->label) + " (" + size_text(m->bytes()) + ")";
  return out;
}

Result<HubChoice> choose_gguf(const std::string& repository, const std::vector<GgufModel>& models,
                              const std::string& wanted) {
  std::vector<const GgufModel*> found, all;
  for (const GgufModel& m : models) {
    all.push_back(&m);
    if (wanted.empty() || means(m, wanted)) found.push_back(&m);
  }
  if (found.empty()) {
    return Status(Code::not_found, "'" + repository + "' has no '" + wanted + "'; it has " + choices(all));
  }
  if (found.size() > 1) {
    const std::string name = found[0]->label.empty() ? found[0]->stem : found[0]->label;
    return Status(Code::invalid_argument, "'" + repository + "' has " + std::to_string(found.size()) + " models" +
                                              (wanted.empty() ? "" : " that '" + wanted + "' could mean") +
                                              "; name one, as in 'landfall pull " + repository + ":" +
                                              (wanted.empty() ? name : found[0]->stem) + "': " + choices(found));
  }
  const GgufModel& model = *found[0];
  for (int part = 1; part <= model.parts; ++part) {
    const auto at = static_cast<size_t>(part - 1);
    if (at >= model.files.size() || model.files[at].first != part) {
      return Status(Code::data_loss, "part " + std::to_string(part) + " of " + std::to_string(model.parts) + " of '" +
                                         model.stem + "' is missing in '" + repository +
                                         "'; choose another: " + choices(all));
    }
  }
  HubChoice out;
  for (const auto& [part, file] : model.files) out.files.push_back(file);
  out.entry = out.files[0].path;
  if (models.size() > 1) {
    // The label, unless another file has the same.
    const auto same =
        std::count_if(models.begin(), models.end(), [&](const GgufModel& m) { return m.label == model.label; });
    out.variant = !model.label.empty() && same == 1 ? model.label : model.stem;
  }
  return out;
}

bool is_companion(std::string_view name) {
  for (const std::string_view known : {"config.json", "generation_config.json", "model.safetensors.index.json",
                                       "special_tokens_map.json", "chat_template.jinja", "LICENSE", "README.md"}) {
    if (name == known) return true;
  }
  return name.rfind("tokenizer", 0) == 0 && name.ends_with(".json");
}

}  // namespace

std::string HubRepository::file_url(const std::string& path) const {
  return endpoint + "/" + name + "/resolve/" + url_escape(revision, false) + "/" + url_escape(path, true);
}

uint64_t HubChoice::bytes() const {
  uint64_t sum = 0;
  for (const HubFile& file : files) sum += file.size;
  return sum;
}

Result<HubRepository> hub_from_environment(std::string name, std::string revision) {
  HubRepository out;
  const char* endpoint = std::getenv("HF_ENDPOINT");
  const char* token = std::getenv("HF_TOKEN");
  out.endpoint = endpoint && *endpoint ? endpoint : "https://huggingface.co";
  while (!out.endpoint.empty() && out.endpoint.back() == '/') out.endpoint.pop_back();
  if (url_origin(out.endpoint).empty()) {
    return Status(
        Code::invalid_argument,
        "HF_ENDPOINT is '" + out.endpoint + "', which is no http or https address; it is like https://huggingface.co");
  }
  for (const char c : std::string(token ? token : "")) {
    if (!std::isspace(static_cast<unsigned char>(c))) out.token += c;
  }
  out.name = std::move(name);
  if (!revision.empty()) out.revision = std::move(revision);
  return out;
}

Status hub_status(const HubRepository& repository, const HttpResponse& response, const std::string& what) {
  const int status = response.status;
  if (status == 200 || status == 206) return {};
  const std::string hub = url_origin(repository.endpoint), code = response.header("x-error-code");
  const std::string where = "'" + what + "' at " + hub;
  if (status == 404 && code == "RevisionNotFound") {
    return Status(Code::not_found, "'" + repository.name + "' has no revision '" + repository.revision +
                                       "'; leave out --revision for the newest");
  }
  if (status == 404)
    return Status(Code::not_found, "there is no " + where + "; check the spelling, upper and lower case count");
  if (status == 401 || status == 403) {
    if (code == "GatedRepo") {
      return Status(Code::permission_denied, where +
                                                 " is given only to those who accepted its terms: accept them on its "
                                                 "page, and set HF_TOKEN to an access token of yours");
    }
    return Status(Code::permission_denied,
                  where + (repository.token.empty()
                               ? " does not exist, or needs an access token: check the spelling, or set HF_TOKEN"
                               : " does not exist, or the access token in HF_TOKEN does not open it"));
  }
  if (status == 408 || status == 429 || status >= 500) {
    return Status(Code::unavailable, hub + " answers " + std::to_string(status) +
                                         (status == 429 ? " (too many requests)" : "") + "; try again later");
  }
  const std::string words = printable(response.header("x-error-message"));
  return Status(Code::unsupported, hub + " answers " + std::to_string(status) + " for '" + what + "'" +
                                       (words.empty() ? "" : ": " + words));
}

Result<std::vector<HubFile>> list_hub_files(HttpClient& client, const HubRepository& repository,
                                            const std::function<bool()>& cancelled) {
  std::vector<HubFile> out;
  std::string url = repository.endpoint + "/api/models/" + repository.name + "/tree/" +
                    url_escape(repository.revision, false) + "?recursive=true";
  for (int page = 0; page < kMaxPages; ++page) {
    std::string text;
    LANDFALL_ASSIGN(
        const HttpResponse response,
        http_get_text(client, {.url = url, .bearer = repository.token, .cancelled = cancelled}, kMaxListBytes, text));
    LANDFALL_TRY(hub_status(repository, response, repository.name));
    auto json = parse_json(text);
    if (!json.ok() || !json->is_array()) {
      return Status(Code::data_loss, url_origin(repository.endpoint) + " does not answer like a model hub (" +
                                         (json.ok() ? "the list of files is not an array" : json.status().message()) +
                                         "); check HF_ENDPOINT");
    }
    for (const Json& row : json->array()) {
      if (row["type"].string() != "file") continue;
      LANDFALL_ASSIGN(HubFile file, file_from_json(row));
      out.push_back(std::move(file));
      if (out.size() > kMaxFiles)
        return Status(Code::unsupported,
                      "'" + repository.name + "' has more than " + std::to_string(kMaxFiles) + " files");
    }
    url = next_page(response);
    if (url.empty()) return out;
    if (url_origin(url) != url_origin(repository.endpoint)) {
      return Status(Code::data_loss,
                    "the hub continues its list of files at another host, which is refused: '" + printable(url) + "'");
    }
  }
  return Status(Code::unsupported,
                "'" + repository.name + "' has a list of files of more than " + std::to_string(kMaxPages) + " pages");
}

std::string quantization_in_name(std::string_view file) {
  std::string_view stem = file_name(file);
  if (ascii_lower(stem).ends_with(".gguf")) stem = stem.substr(0, stem.size() - 5);
  std::string found;
  std::string_view before;
  while (!stem.empty()) {
    const std::string_view word = stem.substr(0, stem.find_first_of("-."));
    std::string upper(word);
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const std::string_view digits =
        std::string_view(upper).substr(upper.rfind("IQ", 0) == 0 || upper.rfind("TQ", 0) == 0 ? 2 : 1);
    const bool quantized = (upper[0] == 'Q' || upper.rfind("IQ", 0) == 0 || upper.rfind("TQ", 0) == 0) &&
                           !digits.empty() && std::isdigit(static_cast<unsigned char>(digits[0])) &&
                           (digits.size() == 1 || digits[1] == '_');
    const bool plain = upper == "F16" || upper == "BF16" || upper == "F32" || upper == "FP16" || upper == "FP32" ||
                       upper.rfind("MXFP4", 0) == 0;
    if (quantized || plain) found = (before == "UD" ? "UD-" : "") + upper;
    before = word;
    stem.remove_prefix(std::min(stem.size(), word.size() + 1));
  }
  return found;
}

Result<HubChoice> choose_hub_files(const std::string& repository, const std::vector<HubFile>& files,
                                   const std::string& wanted) {
  const std::vector<GgufModel> gguf = gguf_models(files);
  std::vector<HubFile> tensors, companions;
  bool has_config = false;
  for (const HubFile& file : files) {
    if (file.path.find('/') != std::string::npos) continue;  // other copies of the weights, for other programs
    if (file.path.ends_with(".safetensors")) tensors.push_back(file);
    if (is_companion(file.path)) companions.push_back(file);
    has_config = has_config || file.path == "config.json";
  }
  // Some repositories hold the same weights twice, under names of the index and under names of their maker.
  auto is_indexed = [](const HubFile& f) { return f.path.rfind("model", 0) == 0; };
  if (std::any_of(tensors.begin(), tensors.end(), is_indexed))
    std::erase_if(tensors, [&](const HubFile& f) { return !is_indexed(f); });

  HubChoice out;
  if (has_config && !tensors.empty() && wanted.empty()) {
    out.files = companions;
    out.files.insert(out.files.end(), tensors.begin(), tensors.end());
  } else if (!gguf.empty()) {
    LANDFALL_ASSIGN(out, choose_gguf(repository, gguf, wanted));
    for (const HubFile& file : companions) {
      if (file.path == "README.md" || file.path == "LICENSE") out.files.push_back(file);
    }
  } else if (!wanted.empty()) {
    return Status(Code::not_found, "'" + repository + "' has no GGUF files, so there is no '" + wanted +
                                       "' in it; leave out ':" + wanted + "'");
  } else {
    return Status(Code::not_found,
                  "'" + repository +
                      "' has neither GGUF files nor config.json with safetensors; weights in other formats (.bin, .pt) "
                      "are not read: they can run code");
  }
  std::set<std::string> names;
  for (const HubFile& file : out.files) {
    if (!is_safe_relative_path(file.path) || file.path.ends_with(".partial") || file.path == "landfall.json" ||
        !names.insert(file.path).second) {
      return Status(Code::data_loss, "the hub names a file '" + printable(file.path) +
                                         "', which is refused: it could overwrite another");
    }
  }
  std::stable_sort(out.files.begin(), out.files.end(),
                   [](const HubFile& a, const HubFile& b) { return a.size < b.size; });
  return out;
}

}  // namespace landfall
