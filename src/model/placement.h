// Which memory node holds which weights, on a machine with several.
//
// A step of one row streams all weights that it needs through the threads once, and memory of another node is slower
// and shares a link. What each thread reads in such a step is known before for most matrices: panels are split evenly
// over the threads, in order, so each node reads one run of consecutive panels, which is placed on it. It is not known
// for the loops over experts, because the chosen ones are strung together and a thread's part changes with the choice:
// those weights lie on all nodes in turn, 2 MiB here and 2 MiB there. Every memory controller then works on every
// expert, where whole experts on one node would leave the others idle whenever a choice falls unevenly, and halves
// of experts would be smaller than a 2 MiB page. Steps of many rows multiply more than they read, and threads take
// panels as they become free: no placement is better than another.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "tensor/tensor.h"

namespace landfall {

// Bytes [begin, end) lie on this node.
struct PlacedRange {
  int64_t begin, end;
  int node;
};

// Of `panels` panels of panel_bytes from byte `offset` on, what each node's threads read under even_range(). nodes: of
// each thread, ascending. Ends are multiples of `page`: the nearest between two nodes, inwards at the ends, so that at
// most half a page lies beside a node's own part.
std::vector<PlacedRange> placement(int64_t panels, int64_t panel_bytes, int64_t offset, std::span<const int> nodes,
                                   int64_t page);

// Both before anything is written there; false where the system refuses, which costs speed and nothing else. The pool
// must have several nodes.
bool place_in_turn(Buffer& memory, const ThreadPool& pool);
bool place_by_thread(const Weight& weight, const ThreadPool& pool);

}  // namespace landfall
