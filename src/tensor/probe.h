// What this machine can do at most, measured: the yardsticks beside which speeds are reported. Peaks and the clock are
// the best of `rounds`, for they belong to the processor. Bandwidth moves with what other programs do, so it is read in
// turn with the work that it is compared with.
#pragma once

#include <memory>

#include "base/env.h"
#include "base/thread_pool.h"
#include "tensor/ctx.h"
#include "tensor/probe_peak.h"

namespace landfall {

enum class PageSize : uint8_t { small, huge };  // 4 KiB; 2 MiB, where the system gives them

// A buffer far larger than the caches, 256 MiB for each thread of the pool. One thread at a time uses it, the pool's.
class BandwidthProbe {
 public:
  BandwidthProbe(ThreadPool& pool, PageSize pages);
  int64_t bytes() const;  // 0: there was not enough memory
  // Bytes per second of reading all of it once by all threads, each its own part.
  double measure(Env& env);

 private:
  ThreadPool& pool_;
  std::unique_ptr<Buffer> buffer_;
};

// The median of `rounds` readings.
double measure_bandwidth(Env& env, ThreadPool& pool, PageSize pages, int rounds);

// Operations per second (a multiply-add counts two) of peak_loop() on all threads at once.
double measure_peak(Env& env, ThreadPool& pool, KernelSet set, Activation kind, int rounds);

// Seconds from the start to the end of a parallel loop that does nothing but wait until all threads are there: what a
// loop costs however little there is to do. The median of many.
double measure_loop(Env& env, ThreadPool& pool);

// Cycles per second of one core under load.
double measure_clock(Env& env, int rounds);

}  // namespace landfall
