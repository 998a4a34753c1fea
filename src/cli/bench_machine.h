// The machine's own limits, for `landfall bench`.
#pragma once

#include "base/env.h"
#include "base/json.h"
#include "tensor/probe.h"
#include "tensor/profile.h"

namespace landfall {

struct Machine {
  int threads = 1;
  KernelSet kernels = KernelSet::scalar;
  double clock = 0;                                // cycles per second
  double int8 = 0, bf16 = 0, f32 = 0;              // operations per second, all threads
  double bandwidth_huge = 0, bandwidth_small = 0;  // bytes per second through 2 MiB and 4 KiB pages
  double loop = 0;                                 // seconds of a parallel loop without work

  Limits limits() const { return {int8, bf16, f32, bandwidth_huge}; }
  Json json() const;
  std::string text() const;  // lines for people
};

Machine measure_machine(Env& env, ThreadPool& pool, KernelSet kernels);

}  // namespace landfall
