// A fixed set of threads that run one parallel loop at a time. One caller at a time uses a pool (an Engine owns one);
// the calling thread works too. Workers spin briefly for the next loop, then sleep.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace landfall {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // total, the caller included; at least 1
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // How a loop is cut into ranges. even: one for each thread, for work that is a stream of memory. guided: a part of
  // what is left, smaller and smaller, so that threads of unequal speed end together.
  enum class Split : uint8_t { even, guided };

  // Calls body(begin, end, thread) over disjoint ranges that cover [0, count). `grain` is the least range length, and
  // every range but the last is a multiple of it. Ranges are handed out in order as threads become free; results must
  // depend neither on where a range ends nor on which thread takes it. Returns when all are done.
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

// The number of processors this process may use: affinity and container limits included.
int usable_cpus();

}  // namespace landfall
