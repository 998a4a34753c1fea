// The user's models: one folder each below the store's root, `landfall.json` in it saying where its files came from and
// what their checksums are. A folder appears under its name only when it is complete: work in progress lies beside it
// in
// `<name>.partial`. The store holds no state of its own; two processes may read it at once, each change is one
// rename, and a lock keeps two of them from working on one model.
//
// A name is `model` or `organisation/model`, and may end in `:variant` (one quantization of several).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/json.h"
#include "base/result.h"
#include "lifecycle/watch.h"

namespace landfall {

struct StoredFile {
  std::string name;  // below the model's folder
  uint64_t size = 0;
  std::string sha256;
};

struct StoredModel {
  std::string name;
  std::string folder;    // where its files are: in the store, or elsewhere for a linked model
  std::string entry;     // the file to open, below `folder`; empty: the folder itself
  std::string source;    // where it came from
  std::string revision;  // of a hub's repository
  int64_t added = 0;     // unix time
  bool linked = false;   // its files stay where they were
  bool recorded = true;  // false: somebody put the files there without a record
  std::vector<StoredFile> files;

  // Read once when it was added, so that a list opens no model. Empty and 0 when not known.
  std::string architecture, quantization, licence;
  int64_t parameters = 0;

  std::string path() const { return entry.empty() ? folder : join_path(folder, entry); }
  uint64_t bytes() const;
};

// An unfinished download that the same pull continues.
struct Unfinished {
  std::string name;
  uint64_t bytes;  // there so far
};

class Store {
 public:
  Store(Env& env, std::string root) : env_(env), root_(std::move(root)) {}
  // $LANDFALL_HOME/models, else $XDG_DATA_HOME/landfall/models, else $HOME/.local/share/landfall/models.
  static Result<Store> open(Env& env);

  const std::string& root() const { return root_; }
  std::string folder_of_model(const std::string& name) const { return join_path(root_, name); }
  std::string staging_folder(const std::string& name) const { return join_path(root_, name) + ".partial"; }

  Result<std::vector<StoredModel>> list() const;
  Result<std::vector<Unfinished>> unfinished() const;

  // `org/model` finds its only variant too. not_found lists what is there.
  Result<StoredModel> find(const std::string& name) const;
  bool has(const std::string& name) const;

  // To be held by whoever changes a model or works in its staging folder. unavailable when somebody else holds it.
  Result<std::unique_ptr<FileLock>> lock(const std::string& name) const;
  // The same, after whoever holds it has ended.
  Result<std::unique_ptr<FileLock>> wait_for_lock(const std::string& name, const Watch& watch) const;

  // Fills in what can be known by opening the model, writes its record into its staging folder and puts that folder in
  // the place of its name. The staging folder is left as it is on an error.
  Status commit(StoredModel& model);

  struct ImportOptions {
    std::string name;  // empty: made from the path
    bool link = false;
    bool pack = false;  // one file with the weights as kernels want them (model/packed.h)
  };
  // A GGUF file (any part of a split one), a safetensors file or a folder, which must open as a model.
  Result<StoredModel> import_model(const std::string& path, const ImportOptions& options, const Watch& watch);

  // What was removed: bytes freed. Files of a linked model stay. Also removes an unfinished download of that name.
  Result<uint64_t> remove(const std::string& name);

  // Compares every file with its record; each fault is one line. An error when there is nothing to compare with.
  Result<std::vector<std::string>> verify(const StoredModel& model, const Watch& watch) const;

  // resource_exhausted with the numbers when the disk of the store cannot take `bytes` more.
  Status check_space(const std::string& name, uint64_t bytes) const;

 private:
  std::optional<StoredModel> read_model(const std::string& name, bool needs_record) const;
  Status not_found(const std::string& name) const;

  Env& env_;
  std::string root_;
};

Status check_model_name(const std::string& name);
// What a model is called that nobody named: "Model-Q4_0-00001-of-00003.gguf" -> "Model-Q4_0"; a folder gives its own
// name.
std::string model_name_of(const std::string& path);

// Files and folders below `path`, links as links. Missing is fine.
Status remove_tree(Env& env, const std::string& path);
// A file's path below a model's folder as others name it: no way out of the folder, nothing hidden.
bool is_safe_relative_path(std::string_view path);

// What every command that takes MODEL calls: the path of an existing file or folder, or of a model in the store.
Result<std::string> resolve_model(Env& env, const std::string& name);

}  // namespace landfall
