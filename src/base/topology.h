// The processors that this process may use, the cores that they are, and the memory node beside each core. Read from
// Linux's /sys, the affinity mask and the container's quota. Where these say nothing, or nothing that can be, the
// machine is one node on which each usable processor is a core.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"

namespace landfall {

struct Topology {
  struct Core {
    int node;                     // the system's number; numbers may be missing in between
    std::vector<int> processors;  // its usable hardware threads, ascending
  };
  std::vector<Core> cores;  // by node, then by first processor; never empty
  int processors = 1;       // hardware threads of all cores
  int quota = 0;            // how many the container lets run at once; 0: no limit

  // The nodes that have cores, ascending. Memory of others is left alone: none of our threads is near it.
  std::vector<int> nodes() const;
  // Threads that can run at once, two on a core where it has two.
  int usable_processors() const;
  // One thread for each core: matrix kernels keep a core's multipliers or its memory path busy with one thread, and a
  // second one only takes cache from it.
  int default_threads() const;
  // The core of one of `threads` threads. They go over the cores in order and evenly, whether they are fewer or more,
  // so that consecutive threads share a node and each node has its part of them.
  const Core& core_of(int thread, int threads) const;
};

// "0-3,8,10-11" -> ascending numbers, each once; "" is none. data_loss for anything else, or a number over 65535.
Result<std::vector<int>> parse_cpu_list(std::string_view text);

// allowed: processors that this process may run on, ascending. root: a folder that stands for "/", for tests.
Topology read_topology(Env& env, std::span<const int> allowed, const std::string& root = "");

// This process's machine, read once, when first asked for: later, threads may be bound.
const Topology& this_machine();

}  // namespace landfall
