// A fixed set of threads that run one parallel loop at a time. One caller at a time uses a pool (an Engine owns one);
// the calling thread works too, as thread 0. Workers spin briefly for the next loop, then sleep.
//
// On a machine with several memory nodes each worker is bound to the core that Topology::core_of() gives it. On one
// node all memory is equally near, and a bound thread could only lose: it would wait for its core while another program
// has that, beside a free one. The caller is not ours to bind, since threads that it starts would inherit that; with a
// thread for each core the only core without a bound worker is the one meant for it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "base/numa.h"
#include "base/topology.h"

namespace landfall {

struct IndexRange {
  int64_t begin, end;
};

// The part of [0, count) that an even split gives to a thread: consecutive, in order of threads, in whole grains, and
// of lengths that differ by one grain at most, so that equal numbers of threads have equal work wherever they are.
IndexRange even_range(int64_t count, int64_t grain, int threads, int thread);

class ThreadPool {
 public:
  // threads: in total, the caller included; at least 1. `numa` must outlive the pool.
  explicit ThreadPool(int threads, const Topology& machine = this_machine(), Numa& numa = Numa::real());
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;
  // The memory node beside each thread, ascending; empty on a machine with one node.
  std::span<const int> nodes() const;
  Numa& numa() const;  // to place memory for these threads

  // How a loop is cut into ranges. even: even_range() of each thread, for work that is a stream of memory: a thread
  // reads the same part every time. guided: a part of what is left, smaller and smaller, so that threads of unequal
  // speed end together.
  enum class Split : uint8_t { even, guided };

  // Calls body(begin, end, thread) over disjoint ranges that cover [0, count). `grain` is the least range length, and
  // every range but the last is a multiple of it. A guided range goes to whichever thread is free, an even one to its
  // thread or, when that is late, to the caller: results must depend neither on where a range ends nor on which thread
  // takes it. Returns when all are done.
  template <class Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body, Split split = Split::guided) {
    using Plain = std::remove_reference_t<Body>;
    run(
        count, grain, split,
        [](void* context, int64_t begin, int64_t end, int thread) {
          (*static_cast<Plain*>(context))(begin, end, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* context, int64_t begin, int64_t end, int thread);
  void run(int64_t count, int64_t grain, Split split, Call call, void* context);
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace landfall
