// For tests: a folder that goes with the program, and machines that are not there.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/numa.h"
#include "base/topology.h"

namespace landfall {

// Made when first asked for, removed with all that is in it when the program ends. Ends with a slash.
inline const std::string& temporary_folder() {
  struct Folder {
    std::string path = testing::TempDir() + "landfall_XXXXXX";
    Folder() {
      EXPECT_NE(mkdtemp(path.data()), nullptr) << path;
      path += '/';
    }
    ~Folder() {
      std::error_code ignored;
      std::filesystem::remove_all(path, ignored);
    }
  };
  static const Folder folder;
  return folder.path;
}

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

}  // namespace landfall
