#include "cli/bench_machine.h"

#include <cstdio>

#include "base/cpu.h"

namespace landfall {

Machine measure_machine(Env& env, ThreadPool& pool, KernelSet kernels) {
  constexpr int kRounds = 7;
  Machine out;
  out.threads = pool.threads();
  out.kernels = kernels;
  out.clock = measure_clock(env, kRounds);
  out.int8 = measure_peak(env, pool, kernels, Activation::int8, kRounds);
  out.bf16 = measure_peak(env, pool, kernels, Activation::bf16, kRounds);
  out.f32 = measure_peak(env, pool, kernels, Activation::f32, kRounds);
  out.bandwidth_small = measure_bandwidth(env, pool, PageSize::small, kRounds);
  out.bandwidth_huge = measure_bandwidth(env, pool, PageSize::huge, kRounds);
  out.loop = measure_loop(env, pool);
  return out;
}

Json Machine::json() const {
  Json out;
  out.set("processor", cpu_model_name()).set("threads", threads).set("kernels", std::string(name(kernels)));
  out.set("clock_hz", clock).set("peak_int8_ops_per_second", int8).set("peak_bf16_ops_per_second", bf16);
  out.set("peak_f32_ops_per_second", f32).set("bandwidth_2mib_bytes_per_second", bandwidth_huge);
  out.set("bandwidth_4kib_bytes_per_second", bandwidth_small).set("parallel_loop_seconds", loop);
  return out;
}

std::string Machine::text() const {
  char line[512];
  const double per_core = clock * threads;
  std::snprintf(line, sizeof line,
                "%s, kernels %s, %d threads, %.2f GHz\n"
                "  int8      %8.0f GOP/s    %5.0f operations a cycle and thread\n"
                "  bf16      %8.0f GFLOP/s  %5.0f\n"
                "  f32       %8.0f GFLOP/s  %5.0f\n"
                "  read      %8.1f GB/s     through 2 MiB pages, %.1f through 4 KiB pages\n"
                "  threads   %8.2f us       to bring all threads into a loop and out\n",
                cpu_model_name().c_str(), std::string(name(kernels)).c_str(), threads, clock / 1e9, int8 / 1e9,
                int8 / per_core, bf16 / 1e9, bf16 / per_core, f32 / 1e9, f32 / per_core, bandwidth_huge / 1e9,
                bandwidth_small / 1e9, 1e6 * loop);
  return line;
}

}  // namespace landfall
