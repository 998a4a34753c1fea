// The one seam to the outside: files, clocks and randomness. Everything else in the project reaches them through an
// Env, so that a test can stage a full disk, a torn write or a clock jump. Env::real() lives for the whole process;
// all methods may be called from any thread. Paths are UTF-8. Errors name the path and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace landfall {

// A whole file mapped for reading. The bytes stay valid as long as the object; when another process truncates the
// file meanwhile, reading past the new end raises SIGBUS, as with every mapped file.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  virtual std::span<const std::byte> bytes() const = 0;
};

// A file open for writing in order. Closed by the destructor; data is on disk only after sync().
class OutputFile {
 public:
  virtual ~OutputFile() = default;
  virtual Status append(std::span<const std::byte> data) = 0;
  virtual Status sync() = 0;
  Status append(std::string_view text) { return append(std::as_bytes(std::span(text.data(), text.size()))); }
};

// Held by one process at a time, until the destructor or the process's end, however it comes.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct DirectoryEntry {
  std::string name;  // without its folder
  bool is_directory;
  uint64_t size;  // bytes; 0 for folders
};

class Env {
 public:
  virtual ~Env() = default;
  static Env& real();

  virtual Result<std::unique_ptr<MappedFile>> map(const std::string& path) = 0;
  // Refuses files over `limit` bytes.
  virtual Result<std::string> read(const std::string& path, size_t limit = size_t{1} << 30) = 0;
  // Opens for appending when `append`, else creates or truncates.
  virtual Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool append) = 0;
  // Takes the lock that a file of this name stands for, which is there while the lock is held and gone afterwards. Does
  // not wait: unavailable when it is held already. A file system without locks grants every one.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
  virtual Status rename(const std::string& from, const std::string& to) = 0;  // atomic within one file system, synced
  virtual Status remove(const std::string& path) = 0;                         // a file or an empty folder
  virtual Status sync_folder(const std::string& path) = 0;                    // the names in it are on disk then
  virtual Status make_directories(const std::string& path) = 0;               // with those above it, synced
  virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;  // sorted by name
  virtual bool exists(const std::string& path) = 0;
  virtual bool is_directory(const std::string& path) = 0;
  virtual bool same(const std::string& a, const std::string& b) = 0;  // names of one file or folder, which is there
  virtual Result<uint64_t> size(const std::string& path) = 0;
  virtual Result<uint64_t> free_space(const std::string& folder) = 0;

  virtual double seconds() = 0;             // monotonic
  virtual int64_t unix_time() = 0;          // seconds since 1970
  virtual uint64_t random_u64() = 0;        // from the system's generator
  virtual uint64_t available_memory() = 0;  // bytes that could be used now without swapping
};

// Writes `data` beside `path` and renames it into place, so that `path` holds either the old or the whole new content.
Status write_file(Env& env, const std::string& path, std::string_view data);

// Bytes that a container cannot have back: what is charged to it (memory.current of cgroup v2) without the contents of
// files (memory.stat), which go when memory is wanted. A model that was read is among those.
uint64_t used_memory(uint64_t charged, std::string_view stat);

// Removes a folder and the files in it; one that is not there is no error. One that holds folders is refused, and loses
// nothing.
Status remove_folder(Env& env, const std::string& folder);

std::string join_path(std::string_view folder, std::string_view name);
std::string_view file_name(std::string_view path);
std::string_view folder_of(std::string_view path);  // "." when there is none

}  // namespace landfall
