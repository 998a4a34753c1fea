#include "train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/digest.h"

namespace landfall {
namespace {

constexpr std::string_view kPrefix = "step-", kUnfinished = ".tmp", kManifest = "manifest.json", kState = "state.json";
constexpr int64_t kVersion = 1;
constexpr size_t kWritePiece = size_t{4} << 20;

std::string sha256(std::span<const std::byte> bytes) {
  Digest digest;
  digest.update(bytes);
  return digest.hex();
}

// Of all of a manifest but this digest.
std::string own_digest(const Json& manifest) {
  Json rest;
  for (const auto& [key, value] : manifest.object()) {
    if (key != "sha256") rest.set(key, value);
  }
  const std::string text = rest.dump();
  return sha256(std::as_bytes(std::span(text)));
}

// Writes one file to the disk; its entry for the manifest.
Result<Json> write_part(Env& env, const std::string& folder, const CheckpointPart& part) {
  LANDFALL_ASSIGN(const auto file, env.open_output(join_path(folder, part.name), false));
  Digest digest;
  uint64_t bytes = 0;
  for (std::span<const std::byte> piece : part.pieces) {
    for (size_t at = 0; at < piece.size(); at += kWritePiece) {
      const auto some = piece.subspan(at, std::min(kWritePiece, piece.size() - at));
      LANDFALL_TRY(file->append(some));
      digest.update(some);
    }
    bytes += piece.size();
  }
  LANDFALL_TRY(file->sync());
  Json entry;
  entry.set("name", part.name).set("bytes", bytes).set("sha256", digest.hex());
  return entry;
}

Status damaged(const std::string& folder, const std::string& why) {
  return Status(Code::data_loss, "checkpoint '" + folder + "' is damaged: " + why);
}

}  // namespace

std::string CheckpointFolder::step_folder(int64_t step) const {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08lld", static_cast<long long>(step));
  return join_path(folder_, name);
}

Result<std::vector<int64_t>> CheckpointFolder::steps() const {
  std::vector<int64_t> out;
  if (!env_.is_directory(folder_)) return out;
  LANDFALL_ASSIGN(const auto entries, env_.list(folder_));
  for (const DirectoryEntry& e : entries) {
    if (!e.is_directory || !e.name.starts_with(kPrefix)) continue;
    int64_t step = 0;
    const char *begin = e.name.data() + kPrefix.size(), *end = e.name.data() + e.name.size();
    const auto [stop, error] = std::from_chars(begin, end, step);
    if (error == std::errc() && stop == end && step >= 0 && step_folder(step) == join_path(folder_, e.name))
      out.push_back(step);
  }
  std::sort(out.begin(), out.end());
  return out;
}

Status CheckpointFolder::save(int64_t step, const Json& state, std::span<const CheckpointPart> parts, int64_t pinned) {
  LANDFALL_TRY(env_.make_directories(folder_));
  const std::string text = state.dump(1), target = step_folder(step), partial = target + std::string(kUnfinished);
  uint64_t needed = text.size() + (size_t{1} << 20);
  for (const CheckpointPart& part : parts) {
    for (std::span<const std::byte> piece : part.pieces) needed += piece.size();
  }
  LANDFALL_ASSIGN(const uint64_t free, env_.free_space(folder_));
  if (free < needed) {
    return Status(Code::resource_exhausted, "a checkpoint in '" + folder_ + "' takes " + std::to_string(needed) +
                                                " bytes, and " + std::to_string(free) +
                                                " are free; make room, or give another folder");
  }
  auto write = [&]() -> Status {
    LANDFALL_TRY(remove_folder(env_, partial));
    LANDFALL_TRY(env_.make_directories(partial));
    Json manifest, files{Json::Array{}};
    const CheckpointPart own{std::string(kState), {std::as_bytes(std::span(text))}};
    LANDFALL_ASSIGN(Json entry, write_part(env_, partial, own));
    files.push(std::move(entry));
    for (const CheckpointPart& part : parts) {
      LANDFALL_ASSIGN(entry, write_part(env_, partial, part));
      files.push(std::move(entry));
    }
    manifest.set("version", kVersion).set("step", step).set("files", std::move(files));
    manifest.set("sha256", own_digest(manifest));
    const std::string list = manifest.dump(1);
    LANDFALL_TRY(write_part(env_, partial, {std::string(kManifest), {std::as_bytes(std::span(list))}}).status());
    LANDFALL_TRY(env_.sync_folder(partial));
    // Of the same step there may be a damaged one, which the run has passed over.
    LANDFALL_TRY(remove_folder(env_, target));
    return env_.rename(partial, target);
  };
  const Status written = write();
  if (!written.ok()) {
    (void)!remove_folder(env_, partial).ok();
    return written;
  }
  LANDFALL_ASSIGN(const std::vector<int64_t> all, steps());
  for (size_t i = 0; i + static_cast<size_t>(keep_) < all.size() && all[i] < step; ++i) {
    if (all[i] != pinned) LANDFALL_TRY(remove_folder(env_, step_folder(all[i])));
  }
  return {};
}

Result<Checkpoint> CheckpointFolder::read(int64_t step) const {
  Checkpoint out{.step = step, .folder = step_folder(step), .state = {}, .parts = {}};
  LANDFALL_ASSIGN(const std::string text, env_.read(join_path(out.folder, kManifest), size_t{16} << 20));
  const auto manifest = parse_json(text);
  if (!manifest.ok()) return damaged(out.folder, "its manifest: " + manifest.status().message());
  if (const Json* digest = manifest->find("sha256"); digest && digest->string() != own_digest(*manifest))
    return damaged(out.folder, "its manifest has other bytes");
  if ((*manifest)["version"].integer() != kVersion) {
    return Status(Code::unsupported, "checkpoint '" + out.folder + "' has version " +
                                         std::to_string((*manifest)["version"].integer()) +
                                         ", and this program reads " + std::to_string(kVersion) +
                                         "; go on with the program that wrote it");
  }
  if ((*manifest)["step"].integer(-1) != step) return damaged(out.folder, "its manifest names another step");
  for (const Json& entry : (*manifest)["files"].array()) {
    const std::string& name = entry["name"].string();
    if (name.empty() || name.find('/') != std::string::npos) return damaged(out.folder, "a file without a name");
    auto file = env_.map(join_path(out.folder, name));
    if (!file.ok()) return damaged(out.folder, file.status().message());
    const std::span<const std::byte> bytes = (*file)->bytes();
    if (static_cast<int64_t>(bytes.size()) != entry["bytes"].integer(-1)) {
      return damaged(out.folder, "'" + name + "' has " + std::to_string(bytes.size()) + " of " +
                                     std::to_string(entry["bytes"].integer(-1)) + " bytes");
    }
    if (sha256(bytes) != entry["sha256"].string()) return damaged(out.folder, "'" + name + "' has other bytes");
    out.parts[name] = std::move(*file);
  }
  const auto state = out.parts.find(std::string(kState));
  if (state == out.parts.end()) return damaged(out.folder, "it has no " + std::string(kState));
  const std::span<const std::byte> bytes = state->second->bytes();
  auto parsed = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!parsed.ok()) return damaged(out.folder, parsed.status().message());
  out.state = std::move(*parsed);
  return out;
}

Result<std::optional<Checkpoint>> CheckpointFolder::newest(std::vector<std::string>& notes) const {
  LANDFALL_ASSIGN(const std::vector<int64_t> all, steps());
  for (size_t i = all.size(); i-- > 0;) {
    auto checkpoint = read(all[i]);
    if (checkpoint.ok()) return std::optional(std::move(*checkpoint));
    if (checkpoint.status().code() == Code::unsupported) return checkpoint.status();
    notes.push_back(checkpoint.status().message() + (i > 0 ? "; the one before is taken" : ""));
  }
  if (all.empty()) return std::optional<Checkpoint>();
  return Status(Code::data_loss, "no checkpoint in '" + folder_ + "' is whole: " + notes.back());
}

}  // namespace landfall
