// The system calls that tie threads and memory to nodes. A seam, so that tests can record them for machines that are
// not there. Each answers whether the system did it: containers often forbid these calls, and refusal only costs speed.
// Linux; elsewhere all refuse. Any thread.
#pragma once

#include <cstddef>
#include <span>

namespace landfall {

class Numa {
 public:
  virtual ~Numa() = default;
  static Numa& real();

  // The calling thread runs on these processors only.
  virtual bool bind_thread(std::span<const int> processors) = 0;
  // Pages of [begin, begin + bytes) come from this node when they are first touched, or, of several nodes, from each in
  // turn; from another where a node is full. `begin` is a multiple of the page size. Pages that are there stay. Nodes
  // ascend and may repeat, as ThreadPool::nodes() gives them.
  virtual bool place(std::byte* begin, size_t bytes, std::span<const int> nodes) = 0;
  // The same for all other pages that the calling thread is the first to touch, those of the page cache among them; no
  // nodes: as the system does by itself.
  virtual bool place_new_pages(std::span<const int> nodes) = 0;
};

}  // namespace landfall
