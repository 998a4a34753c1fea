#include "lifecycle/store.h"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "lifecycle/digest.h"
#include "lifecycle/record.h"
#include "lifecycle/summary.h"

namespace landfall {
namespace {

constexpr std::string_view kStaging = ".partial";
constexpr std::string_view kReplaced = ".replaced";

bool is_word(std::string_view text) {
  if (text.empty() || text.size() > 128 || text[0] == '.') return false;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '.' || c == '_'; });
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool is_later_part(std::string_view name) {
  return name.find("-of-") != std::string_view::npos && name.find("-00001-of-") == std::string_view::npos;
}

// The file of a folder without a record that is to be opened: "" for a Hugging Face folder; nothing when it is no
// model.
std::optional<std::string> entry_of(Env& env, const std::string& folder) {
  if (env.exists(join_path(folder, "config.json"))) return "";
  auto entries = env.list(folder);
  if (!entries.ok()) return std::nullopt;
  for (const DirectoryEntry& entry : *entries) {
    if (!entry.is_directory && entry.name.ends_with(".gguf") && !is_later_part(entry.name)) return entry.name;
  }
  return std::nullopt;
}

bool looks_like_model(Env& env, const std::string& path) {
  return env.exists(path) && (!env.is_directory(path) || entry_of(env, path));
}

uint64_t tree_bytes(Env& env, const std::string& folder, int depth = 0) {
  uint64_t sum = 0;
  if (depth > 8) return 0;  // a link may lead back
  auto entries = env.list(folder);
  if (!entries.ok()) return 0;
  for (const DirectoryEntry& entry : *entries) {
    sum += entry.is_directory ? tree_bytes(env, join_path(folder, entry.name), depth + 1) : entry.size;
  }
  return sum;
}

// Folders one and two levels below the root, as names.
std::vector<std::string> folders_below(Env& env, const std::string& root) {
  std::vector<std::string> out;
  auto top = env.list(root);
  if (!top.ok()) return out;
  for (const DirectoryEntry& first : *top) {
    if (!first.is_directory) continue;
    out.push_back(first.name);
    if (first.name.ends_with(kStaging)) continue;
    auto below = env.list(join_path(root, first.name));
    if (!below.ok()) continue;
    for (const DirectoryEntry& second : *below) {
      if (second.is_directory) out.push_back(first.name + "/" + second.name);
    }
  }
  return out;
}

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// Whether `variant`, as a person gave it, means this model: its own variant, or one of its files.
bool means_variant(const StoredModel& model, std::string_view variant) {
  const size_t colon = model.name.find(':');
  if (colon != std::string::npos && same_letters(std::string_view(model.name).substr(colon + 1), variant)) return true;
  return std::any_of(model.files.begin(), model.files.end(), [&](const StoredFile& f) {
    return f.name == variant || file_name(f.name) == variant || file_name(f.name) == std::string(variant) + ".gguf";
  });
}

}  // namespace

uint64_t StoredModel::bytes() const {
  uint64_t sum = 0;
  for (const StoredFile& file : files) sum += file.size;
  return sum;
}

Status check_model_name(const std::string& name) {
  std::string_view rest = name;
  bool good = true;
  if (const size_t colon = rest.find(':'); colon != std::string_view::npos) {
    good = is_word(rest.substr(colon + 1));
    rest = rest.substr(0, colon);
  }
  if (const size_t slash = rest.find('/'); slash != std::string_view::npos) {
    good = good && is_word(rest.substr(0, slash));
    rest = rest.substr(slash + 1);
  }
  good = good && is_word(rest) && !name.ends_with(kStaging) && !name.ends_with(kReplaced);
  if (good) return {};
  return Status(Code::invalid_argument,
                "'" + name.substr(0, 200) +
                    "' is not a model's name; names are like 'starter', 'organisation/model' or "
                    "'organisation/model:Q4_K_M', of letters, digits, '-', '_' and '.'");
}

bool is_safe_relative_path(std::string_view path) {
  if (path.empty() || path.size() > 1024) return false;
  for (const unsigned char c : path) {
    if (c < 32 || c == 127 || c == '\\') return false;
  }
  while (true) {
    const std::string_view part = path.substr(0, path.find('/'));
    if (part.empty() || part[0] == '.' || part.size() > 240) return false;
    if (part.size() == path.size()) return true;
    path.remove_prefix(part.size() + 1);
  }
}

Status remove_tree(Env& env, const std::string& path) {
  // A link is removed as a link by this first call, wherever it leads; only a real folder with content stays.
  const Status removed = env.remove(path);
  if (removed.ok() || removed.code() == Code::not_found) return {};
  if (!env.is_directory(path)) return removed;
  LANDFALL_ASSIGN(const auto entries, env.list(path));
  for (const DirectoryEntry& entry : entries) LANDFALL_TRY(remove_tree(env, join_path(path, entry.name)));
  return env.remove(path);
}

Result<Store> Store::open(Env& env) {
  std::string home = environment("LANDFALL_HOME");
  if (home.empty()) {
    std::string data = environment("XDG_DATA_HOME");
    if (data.empty() && !environment("HOME").empty()) data = join_path(environment("HOME"), ".local/share");
    if (data.empty()) {
      return Status(
          Code::failed_precondition,
          "neither LANDFALL_HOME nor HOME is set, so there is no place for models; set LANDFALL_HOME to a folder");
    }
    home = join_path(data, "landfall");
  }
  return Store(env, join_path(home, "models"));
}

std::optional<StoredModel> Store::read_model(const std::string& name, bool needs_record) const {
  const std::string folder = folder_of_model(name), record = join_path(folder, kRecordName);
  if (env_.exists(record)) {
    if (auto text = env_.read(record, 64 << 20); text.ok()) {
      if (auto json = parse_json(*text); json.ok()) {
        if (auto model = record_from_json(*json, name, folder); model.ok()) return std::move(*model);
      }
    }
    needs_record = false;  // there is one, but it is damaged: what the files say remains
  }
  if (needs_record) return std::nullopt;
  const auto entry = entry_of(env_, folder);
  if (!entry) return std::nullopt;
  StoredModel model;
  model.name = name;
  model.folder = folder;
  model.entry = *entry;
  model.recorded = false;
  auto entries = env_.list(folder);
  if (!entries.ok()) return std::nullopt;
  for (const DirectoryEntry& file : *entries) {
    if (!file.is_directory && file.name != kRecordName) model.files.push_back({file.name, file.size, ""});
  }
  if (auto summary = summarize(env_, model.path()); summary.ok()) {
    model.architecture = summary->architecture;
    model.quantization = summary->quantization;
    model.licence = summary->licence;
    model.parameters = summary->parameters;
  }
  return model;
}

Result<std::vector<StoredModel>> Store::list() const {
  std::vector<StoredModel> out;
  for (const std::string& name : folders_below(env_, root_)) {
    if (!check_model_name(name).ok()) continue;
    // Folders inside a model that somebody put there by hand are not models of their own.
    const bool inside =
        name.find('/') != std::string::npos && entry_of(env_, folder_of_model(name.substr(0, name.find('/'))));
    if (auto model = read_model(name, inside)) out.push_back(std::move(*model));
  }
  return out;
}

Result<std::vector<Unfinished>> Store::unfinished() const {
  std::vector<Unfinished> out;
  for (const std::string& name : folders_below(env_, root_)) {
    if (!name.ends_with(kStaging)) continue;
    out.push_back({name.substr(0, name.size() - kStaging.size()), tree_bytes(env_, folder_of_model(name))});
  }
  return out;
}

bool Store::has(const std::string& name) const {
  return check_model_name(name).ok() && read_model(name, false).has_value();
}

Status Store::not_found(const std::string& name) const {
  std::string known;
  if (auto models = list(); models.ok()) {
    for (const StoredModel& model : *models) known += (known.empty() ? "" : ", ") + model.name;
  }
  const bool repository = name.find('/') != std::string::npos && check_model_name(name).ok();
  std::string next = repository      ? "; 'landfall pull " + name + "' fetches it"
                     : known.empty() ? "; a first one comes with 'landfall pull starter'"
                                     : "";
  if (auto left = unfinished(); left.ok()) {
    for (const Unfinished& u : *left) {
      if (u.name == name) next = "; its download is not finished: 'landfall pull " + name + "' continues it";
    }
  }
  return Status(Code::not_found, "there is no file, folder or model '" + name.substr(0, 300) + "'" +
                                     (known.empty() ? "" : "; there are: " + known) + next);
}

Result<StoredModel> Store::find(const std::string& name) const {
  if (!check_model_name(name).ok()) return not_found(name);
  if (auto model = read_model(name, false)) return std::move(*model);
  const size_t colon = name.find(':');
  const std::string base = name.substr(0, colon), variant = colon == std::string::npos ? "" : name.substr(colon + 1);
  std::vector<StoredModel> found;
  LANDFALL_ASSIGN(auto models, list());
  for (StoredModel& model : models) {
    if (model.name.substr(0, model.name.find(':')) != base) continue;
    if (variant.empty() || means_variant(model, variant)) found.push_back(std::move(model));
  }
  if (found.size() == 1) return std::move(found[0]);
  if (found.empty()) return not_found(name);
  std::string names;
  for (const StoredModel& model : found) names += (names.empty() ? "" : ", ") + model.name;
  return Status(Code::invalid_argument, "'" + name + "' could be any of: " + names + "; name one of them");
}

Result<std::unique_ptr<FileLock>> Store::lock(const std::string& name) const {
  const std::string path = staging_folder(name) + ".lock";
  LANDFALL_TRY(env_.make_directories(std::string(folder_of(path))));
  auto held = env_.lock(path);
  if (!held.ok() && held.status().code() == Code::unavailable) {
    return Status(Code::unavailable,
                  "another landfall is at work on '" + name + "'; wait until it has ended, or stop it");
  }
  return held;
}

Result<std::unique_ptr<FileLock>> Store::wait_for_lock(const std::string& name, const Watch& watch) const {
  for (bool first = true;; first = false) {
    auto held = lock(name);
    if (held.ok() || held.status().code() != Code::unavailable) return held;
    if (first) watch.say("another landfall is at work on '" + name + "'; waiting until it has ended");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (watch.stop()) return Status(Code::cancelled, "stopped");
  }
}

Status Store::commit(StoredModel& model) {
  const std::string staging = staging_folder(model.name), folder = folder_of_model(model.name);
  if (!model.linked) model.folder = staging;
  LANDFALL_ASSIGN(const ModelSummary summary, summarize(env_, model.path()));
  model.architecture = summary.architecture;
  model.quantization = summary.quantization;
  model.licence = summary.licence;
  model.parameters = summary.parameters;
  model.added = env_.unix_time();
  LANDFALL_TRY(write_file(env_, join_path(staging, kRecordName), record_to_json(model).dump(2) + "\n"));
  const std::string replaced = folder + std::string(kReplaced);
  LANDFALL_TRY(remove_tree(env_, replaced));
  const bool replaces = env_.exists(folder);
  if (replaces) LANDFALL_TRY(env_.rename(folder, replaced));
  if (Status moved = env_.rename(staging, folder); !moved.ok()) {
    if (replaces) (void)env_.rename(replaced, folder).ok();
    return moved;
  }
  if (!model.linked) model.folder = folder;
  return remove_tree(env_, replaced);
}

Result<uint64_t> Store::remove(const std::string& name) {
  LANDFALL_TRY(check_model_name(name));
  const std::string folder = folder_of_model(name), staging = staging_folder(name);
  const bool there = read_model(name, false).has_value();
  if (!there && !env_.exists(staging)) return not_found(name);
  LANDFALL_ASSIGN(auto held, lock(name));
  const uint64_t freed = (there ? tree_bytes(env_, folder) : 0) + tree_bytes(env_, staging);
  if (there) {
    // Out of sight first, so that an interruption leaves no half model under the name.
    const std::string replaced = folder + std::string(kReplaced);
    LANDFALL_TRY(remove_tree(env_, replaced));
    LANDFALL_TRY(env_.rename(folder, replaced));
    LANDFALL_TRY(remove_tree(env_, replaced));
  }
  LANDFALL_TRY(remove_tree(env_, staging));
  held.reset();
  if (const size_t slash = name.find('/'); slash != std::string::npos) {
    (void)env_.remove(folder_of_model(name.substr(0, slash))).ok();  // the organisation's folder, when it is empty
  }
  return freed;
}

Result<std::vector<std::string>> Store::verify(const StoredModel& model, const Watch& watch) const {
  if (!model.recorded) {
    return Status(Code::failed_precondition, "'" + model.name + "' has no record of checksums in " +
                                                 join_path(model.folder, kRecordName) +
                                                 "; add it again with 'landfall import' or 'landfall pull'");
  }
  std::vector<std::string> faults;
  uint64_t done = 0;
  for (const StoredFile& file : model.files) {
    const std::string path = join_path(model.folder, file.name);
    auto size = env_.size(path);
    if (!size.ok() && size.status().code() == Code::not_found) {
      faults.push_back("'" + path + "' is missing");
    } else if (!size.ok()) {
      faults.push_back(size.status().message());
    } else if (*size != file.size) {
      faults.push_back("'" + path + "' has " + std::to_string(*size) + " bytes instead of " +
                       std::to_string(file.size));
    } else {
      auto hash = sha256_of_file(env_, path, watch, done, model.bytes());
      if (!hash.ok() && hash.status().code() == Code::cancelled) return hash.status();
      if (!hash.ok()) {
        faults.push_back(hash.status().message());
      } else if (*hash != file.sha256) {
        faults.push_back("'" + path + "' is damaged: its SHA-256 is " + *hash + " instead of " + file.sha256);
      }
    }
    done += file.size;
  }
  return faults;
}

Status Store::check_space(const std::string& name, uint64_t bytes) const {
  constexpr uint64_t kSpare = 1 << 20;  // for the record and what the file system needs itself
  LANDFALL_ASSIGN(const uint64_t free, env_.free_space(root_));
  if (bytes + kSpare <= free) return {};
  return Status(Code::resource_exhausted, "'" + name + "' needs " + size_text(bytes) + " more in '" + root_ +
                                              "', and " + size_text(free) + " are free there; free " +
                                              size_text(bytes + kSpare - free) +
                                              ", or set LANDFALL_HOME to a folder on a larger disk");
}

Result<std::string> resolve_model(Env& env, const std::string& name) {
  if (name.empty())
    return Status(Code::invalid_argument, "the model's name is empty; 'landfall list' shows what is there");
  if (looks_like_model(env, name)) return name;
  LANDFALL_ASSIGN(const Store store, Store::open(env));
  auto found = store.find(name);
  if (found.ok()) return found->path();
  if (env.exists(name)) return name;  // opening it says what is wrong with it
  return found.status();
}

}  // namespace landfall
