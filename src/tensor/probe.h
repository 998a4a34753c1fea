// What this machine can do at most, measured: the yardsticks beside which speeds are reported. Peaks and the clock are
// the best of `rounds`, for they belong to the processor; bandwidth is the median, for other programs share it and it
// is compared with runs of the same minutes.
#pragma once

#include "base/env.h"
#include "base/thread_pool.h"
#include "tensor/ctx.h"
#include "tensor/probe_peak.h"

namespace landfall {

enum class PageSize : uint8_t { small, huge };  // 4 KiB; 2 MiB, where the system gives them

// Bytes per second of reading a buffer far larger than the caches by all threads of the pool at once.
double measure_bandwidth(Env& env, ThreadPool& pool, PageSize pages, int rounds);

// Operations per second (a multiply-add counts two) of peak_loop() on all threads at once.
double measure_peak(Env& env, ThreadPool& pool, KernelSet set, Activation kind, int rounds);

// Cycles per second of one core under load.
double measure_clock(Env& env, int rounds);

}  // namespace landfall
