// For tests: folders that go afterwards, an Env to stage faults over, and machines that are not there.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/numa.h"
#include "base/topology.h"

namespace landfall {

// A folder that is gone afterwards, with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() { EXPECT_NE(mkdtemp(path.data()), nullptr) << path; }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path = testing::TempDir() + "landfall_XXXXXX";
};

// A place in a folder that is gone when the program ends.
inline std::string temporary_path(const std::string& name) {
  static const TemporaryFolder folder;
  return folder.path + "/" + name;
}

// The real Env, for those that are another in a few of its calls.
class EnvOverReal : public Env {
 public:
  Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool append) override {
    return real_.open_output(path, append);
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return real_.lock(path); }
  Result<std::unique_ptr<MappedFile>> map(const std::string& path) override { return real_.map(path); }
  Result<std::string> read(const std::string& path, size_t limit) override { return real_.read(path, limit); }
  Status rename(const std::string& from, const std::string& to) override { return real_.rename(from, to); }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status sync_folder(const std::string& path) override { return real_.sync_folder(path); }
  Status make_directories(const std::string& path) override { return real_.make_directories(path); }
  Result<std::vector<DirectoryEntry>> list(const std::string& path) override { return real_.list(path); }
  bool exists(const std::string& path) override { return real_.exists(path); }
  bool is_directory(const std::string& path) override { return real_.is_directory(path); }
  bool same(const std::string& a, const std::string& b) override { return real_.same(a, b); }
  Result<uint64_t> size(const std::string& path) override { return real_.size(path); }
  Result<uint64_t> free_space(const std::string& folder) override { return real_.free_space(folder); }
  double seconds() override { return real_.seconds(); }
  int64_t unix_time() override { return real_.unix_time(); }
  uint64_t random_u64() override { return real_.random_u64(); }
  uint64_t available_memory() override { return real_.available_memory(); }

 protected:
  Env& real_ = Env::real();
};

// `nodes` nodes of `cores` cores each, processors numbered in order.
inline Topology machine_of(int nodes, int cores) {
  Topology out;
  for (int i = 0; i < nodes * cores; ++i) out.cores.push_back({i / cores, {i}});
  out.processors = nodes * cores;
  return out;
}

// Records what would be asked of the system, and refuses it where told to.
class RecordedNuma : public Numa {
 public:
  explicit RecordedNuma(bool grants = true) : grants_(grants) {}

  struct Placed {
    std::byte* begin;
    size_t bytes;
    std::vector<int> nodes;
  };
  std::vector<std::vector<int>> bound;  // processors of each thread that was bound
  std::vector<Placed> placed;
  std::vector<std::vector<int>> new_pages;

  bool bind_thread(std::span<const int> processors) override {
    std::lock_guard lock(mutex_);
    bound.emplace_back(processors.begin(), processors.end());
    return grants_;
  }
  bool place(std::byte* begin, size_t bytes, std::span<const int> nodes) override {
    std::lock_guard lock(mutex_);
    placed.push_back({begin, bytes, {nodes.begin(), nodes.end()}});
    return grants_;
  }
  bool place_new_pages(std::span<const int> nodes) override {
    std::lock_guard lock(mutex_);
    new_pages.emplace_back(nodes.begin(), nodes.end());
    return grants_;
  }

 private:
  bool grants_;
  std::mutex mutex_;
};

// The real Env, whose writes fail once `room` bytes have been written, and whose free space can be set.
class SmallDisk : public EnvOverReal {
 public:
  uint64_t room = UINT64_MAX;
  uint64_t free = UINT64_MAX;

  Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool append) override {
    LANDFALL_ASSIGN(auto file, real_.open_output(path, append));
    return std::unique_ptr<OutputFile>(std::make_unique<Output>(*this, std::move(file)));
  }
  Result<uint64_t> free_space(const std::string&) override { return free; }

 private:
  class Output : public OutputFile {
   public:
    Output(SmallDisk& disk, std::unique_ptr<OutputFile> file) : disk_(disk), file_(std::move(file)) {}
    Status append(std::span<const std::byte> data) override {
      const size_t fits = std::min<uint64_t>(data.size(), disk_.room);
      LANDFALL_TRY(file_->append(data.subspan(0, fits)));  // as a full disk does: the first part is there
      if (disk_.room != UINT64_MAX) disk_.room -= fits;
      return fits == data.size() ? Status() : Status(Code::resource_exhausted, "cannot write: No space left on device");
    }
    Status sync() override { return file_->sync(); }

   private:
    SmallDisk& disk_;
    std::unique_ptr<OutputFile> file_;
  };
};

}  // namespace landfall
