#include "lifecycle/pull.h"

#include <algorithm>
#include <optional>

#include "lifecycle/digest.h"
#include "lifecycle/download.h"
#include "model/architecture.h"

namespace landfall {
namespace {

// In a staging folder: the checksum of each file that is being fetched. A file that has another one now is not
// continued.
constexpr std::string_view kPlanName = "plan.json";

std::string checksum(const HubFile& file) {
  if (!file.sha256.empty()) return file.sha256;
  return file.git_oid.empty() ? "size " + std::to_string(file.size) : file.git_oid;
}

bool is_complete(Env& env, const StoredModel& stored, const HubChoice& choice) {
  for (const HubFile& file : choice.files) {
    const auto it = std::find_if(stored.files.begin(), stored.files.end(),
                                 [&](const StoredFile& f) { return f.name == file.path; });
    if (it == stored.files.end() || it->size != file.size || (!file.sha256.empty() && it->sha256 != file.sha256))
      return false;
    const auto size = env.size(join_path(stored.folder, file.path));
    if (!size.ok() || *size != file.size) return false;
  }
  return true;
}

// Readies the staging folder: what was begun of another version goes.
Status prepare(Env& env, const std::string& staging, const HubChoice& choice) {
  const std::string plan_path = join_path(staging, kPlanName);
  Json plan(Json::Object{});
  for (const HubFile& file : choice.files) plan.set(file.path, checksum(file));
  if (env.exists(staging)) {
    Json old;
    if (auto text = env.read(plan_path, 64 << 20); text.ok()) {
      if (auto json = parse_json(*text); json.ok()) old = std::move(*json);
    }
    if (!old.is_object()) LANDFALL_TRY(remove_tree(env, staging));
    for (const auto& [path, sum] : old.object()) {
      if (!is_safe_relative_path(path) || plan[path] == sum) continue;
      LANDFALL_TRY(remove_tree(env, join_path(staging, path)));
      LANDFALL_TRY(remove_tree(env, join_path(staging, path + ".partial")));
    }
  }
  LANDFALL_TRY(env.make_directories(staging));
  return write_file(env, plan_path, plan.dump(2) + "\n");
}

// Before gigabytes come: does Landfall know what config.json describes?
Status check_architecture(Env& env, const std::string& path) {
  LANDFALL_ASSIGN(const std::string text, env.read(path, 16 << 20));
  auto config = parse_json(text);
  if (!config.ok()) return config.status().within("config.json");
  return find_architecture((*config)["model_type"].string()).status();
}

Result<std::vector<HubFile>> list_patiently(HttpClient& client, const HubRepository& repository, const Watch& watch) {
  for (int attempt = 1;; ++attempt) {
    auto files = list_hub_files(client, repository, watch.cancelled);
    if (files.ok() || files.status().code() != Code::unavailable) return files;
    if (attempt == 3)
      return Status(Code::unavailable,
                    files.status().message() + "; check the connection, or name a mirror in HF_ENDPOINT");
    watch.say(files.status().message() + "; trying again in " + std::to_string(attempt) + " s");
    client.pause(attempt, watch.cancelled);
  }
}

}  // namespace

Result<Pulled> pull_from_hub(Env& env, Store& store, HttpClient& client, const HubRepository& repository,
                             const std::string& wanted, const Watch& watch) {
  LANDFALL_ASSIGN(const auto files, list_patiently(client, repository, watch));
  LANDFALL_ASSIGN(const HubChoice choice, choose_hub_files(repository.name, files, wanted));
  StoredModel model;
  model.name = repository.name + (choice.variant.empty() ? "" : ":" + choice.variant);
  model.entry = choice.entry;
  model.source = repository.endpoint + "/" + repository.name;
  model.revision = repository.revision;
  LANDFALL_TRY(check_model_name(model.name));
  auto complete = [&]() -> std::optional<StoredModel> {
    auto stored = store.find(model.name);
    if (!stored.ok() || stored->name != model.name || !stored->recorded || !is_complete(env, *stored, choice))
      return {};
    return std::move(*stored);
  };
  if (auto stored = complete()) return Pulled{std::move(*stored), true};
  LANDFALL_ASSIGN(const auto held, store.wait_for_lock(model.name, watch));
  if (auto stored = complete()) return Pulled{std::move(*stored), true};  // by another process, a moment ago

  const std::string staging = store.staging_folder(model.name);
  LANDFALL_TRY(prepare(env, staging, choice));
  const uint64_t total = choice.bytes();
  uint64_t there = 0;
  for (const HubFile& file : choice.files) there += downloaded_bytes(env, file, join_path(staging, file.path));
  LANDFALL_TRY(store.check_space(model.name, total - there));
  if (there > 0 && there < total)
    watch.say("continuing " + model.name + ": " + size_text(there) + " of " + size_text(total) + " are there");

  uint64_t before = 0;
  for (const HubFile& file : choice.files) {
    const std::string path = join_path(staging, file.path);
    std::string sha256 = file.sha256;
    if (!env.exists(path)) {
      LANDFALL_ASSIGN(sha256, download(env, client, repository, file, path, watch, before, total));
    } else if (sha256.empty()) {
      LANDFALL_ASSIGN(sha256, sha256_of_file(env, path, watch, before, total));
    }
    model.files.push_back({file.path, file.size, sha256});
    before += file.size;
    if (file.path == "config.json" && choice.entry.empty()) {
      if (Status known = check_architecture(env, path); !known.ok()) {
        (void)remove_tree(env, staging).ok();
        return known.within("'" + repository.name + "'");
      }
    }
  }
  if (Status done = store.commit(model); !done.ok()) {
    return done.within("'" + model.name + "' was fetched, but cannot be used ('landfall rm " + model.name +
                       "' removes it)");
  }
  (void)env.remove(join_path(model.folder, kPlanName)).ok();
  return Pulled{std::move(model), false};
}

}  // namespace landfall
