// Checkpoints of a training run: a folder for each step with the run's state as JSON, files of bytes, and a manifest
// with length and SHA-256 of each. One is there whole or not at all, whenever the machine stops: it is written as
// step-N.tmp, every file and the folder are synced, and only then does it get its name. Older ones go when the newest
// is there. On reading every byte is checked; of a damaged one the files are left alone and the one before is taken.
//
//   <folder>/step-00000120/manifest.json   {"version": 1, "step", "files": [{"name", "bytes", "sha256"}], "sha256"}
//                          state.json      whatever the run says of itself
//                          <part>          bytes
//
// The manifest's own SHA-256 is that of its other members without spaces, so that damage to it is none of another
// version; of earlier programs there are manifests without it.
//
// Not thread-safe; one run has the folder at a time (the caller holds a lock).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/json.h"

namespace landfall {

// A file of a checkpoint: its pieces one after another.
struct CheckpointPart {
  std::string name;
  std::vector<std::span<const std::byte>> pieces;
};

struct Checkpoint {
  int64_t step = 0;
  std::string folder;
  Json state;
  std::map<std::string, std::unique_ptr<MappedFile>> parts;
};

class CheckpointFolder {
 public:
  // keep: how many of the newest stay, at least 1.
  CheckpointFolder(Env& env, std::string folder, int keep) : env_(env), folder_(std::move(folder)), keep_(keep) {}

  // resource_exhausted when the disk has no room, before anything is written. After any error the folder holds what it
  // held before. pinned: a step whose checkpoint stays, however old it is; -1: none.
  Status save(int64_t step, const Json& state, std::span<const CheckpointPart> parts, int64_t pinned = -1);

  Result<Checkpoint> read(int64_t step) const;

  // The newest whole one, none when there is none; an error when there are only damaged ones. `notes` gets a line for
  // each one that was passed over.
  Result<std::optional<Checkpoint>> newest(std::vector<std::string>& notes) const;

 private:
  Result<std::vector<int64_t>> steps() const;  // ascending
  std::string step_folder(int64_t step) const;

  Env& env_;
  std::string folder_;
  int keep_;
};

}  // namespace landfall
