// Files in memory for fuzz targets: each is one allocation of exactly its size, so that a read past its end is seen.
// Nothing can be written. One thread.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/env.h"

namespace landfall {

class MemoryEnv : public Env {
 public:
  void add(const std::string& path, std::string_view bytes) {
    files_[path] =
        std::make_shared<std::vector<std::byte>>(reinterpret_cast<const std::byte*>(bytes.data()),
                                                 reinterpret_cast<const std::byte*>(bytes.data()) + bytes.size());
  }

  Result<std::unique_ptr<MappedFile>> map(const std::string& path) override {
    if (!files_.count(path)) return missing(path);
    return std::unique_ptr<MappedFile>(std::make_unique<Mapped>(files_[path]));
  }
  Result<std::string> read(const std::string& path, size_t limit) override {
    if (!files_.count(path)) return missing(path);
    const std::vector<std::byte>& bytes = *files_[path];
    if (bytes.size() > limit) return Status(Code::invalid_argument, "'" + path + "' is too long");
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  Result<std::vector<DirectoryEntry>> list(const std::string& path) override {
    std::vector<DirectoryEntry> out;
    for (const auto& [name, bytes] : files_) {
      if (folder_of(name) == path) out.push_back({std::string(file_name(name)), false, bytes->size()});
    }
    return out;
  }
  bool exists(const std::string& path) override { return files_.count(path) != 0 || is_directory(path); }
  bool same(const std::string& a, const std::string& b) override { return a == b && exists(a); }
  bool is_directory(const std::string& path) override {
    return std::any_of(files_.begin(), files_.end(), [&](const auto& file) { return folder_of(file.first) == path; });
  }
  Result<uint64_t> size(const std::string& path) override {
    if (!files_.count(path)) return missing(path);
    return uint64_t{files_[path]->size()};
  }

  Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool) override { return read_only(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return read_only(path); }
  Status rename(const std::string& from, const std::string&) override { return read_only(from); }
  Status remove(const std::string& path) override { return read_only(path); }
  Status sync_folder(const std::string&) override { return {}; }
  Status make_directories(const std::string& path) override { return read_only(path); }
  Result<uint64_t> free_space(const std::string&) override { return uint64_t{0}; }

  double seconds() override { return 0; }
  int64_t unix_time() override { return 0; }
  uint64_t random_u64() override { return 0; }
  uint64_t available_memory() override { return uint64_t{1} << 30; }

 private:
  using Bytes = std::shared_ptr<std::vector<std::byte>>;

  class Mapped : public MappedFile {
   public:
    explicit Mapped(Bytes bytes) : bytes_(std::move(bytes)) {}
    std::span<const std::byte> bytes() const override { return *bytes_; }

   private:
    Bytes bytes_;
  };

  static Status missing(const std::string& path) { return Status(Code::not_found, "there is no '" + path + "'"); }
  static Status read_only(const std::string& path) {
    return Status(Code::permission_denied, "'" + path + "' is read-only");
  }

  std::map<std::string, Bytes> files_;
};

}  // namespace landfall
