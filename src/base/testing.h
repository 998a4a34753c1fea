// Machines that are not there, for tests.
#pragma once

#include <mutex>
#include <span>
#include <vector>

#include "base/numa.h"
#include "base/topology.h"

namespace landfall {

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
