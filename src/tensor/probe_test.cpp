// The probes against what processors can do: clock times width above, what the kernels reach below.
#include "tensor/probe.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tensor/op_inputs.h"
#include "tensor/ops.h"
#include "tensor/testing.h"

namespace landfall {
namespace {

constexpr Activation kKinds[] = {Activation::int8, Activation::bf16, Activation::f32};

// Multiply-adds of the widest vector register.
double lanes(KernelSet set, Activation kind) {
  const double bytes = set == KernelSet::avx512 ? 64 : set == KernelSet::avx2 ? 32 : 16;
  return bytes / (kind == Activation::int8 ? 1 : kind == Activation::bf16 ? 2 : 4);
}

TEST(Probe, NoPeakIsBeyondWhatACoreCanStartInACycle) {
  // Two products of the full width a cycle, four where the width is 128 bits.
  ThreadPool pool(1);
  double clock = 0;  // the best seen: beside other programs a measurement may be low, never high
  for (KernelSet set : available_kernel_sets()) {
    const double started = set >= KernelSet::avx2 ? 2 : 4;
    for (Activation kind : kKinds) {
      const double peak = measure_peak(Env::real(), pool, set, kind, 5);
      clock = std::max(clock, measure_clock(Env::real(), 20));
      EXPECT_GT(peak, 0);
      EXPECT_LT(peak, 1.1 * clock * started * 2 * lanes(set, kind))
          << name(set) << " kind " << static_cast<int>(kind) << " at " << clock / 1e9 << " GHz";
    }
  }
}

TEST(Probe, TheClockIsOneOfAProcessor) {
  const double clock = measure_clock(Env::real(), 5);
  EXPECT_GT(clock, 1e8);
  EXPECT_LT(clock, 8e9);
}

TEST(Probe, NoMatrixKernelIsFasterThanThePeak) {
  ThreadPool pool(1);
  constexpr int64_t kRows = 64, kOut = 512, kIn = 512;  // 272 KiB of weights: in the cache
  const TestBatch batch({{0, kRows, 0, 0, false}});
  for (KernelSet set : available_kernel_sets()) {
    if (set == KernelSet::scalar) continue;  // there both are the compiler's work, and sanitizers change it
    OpInputs inputs(1);
    double fastest = 0, peak = 0;
    for (int round = 0; round < 20; ++round) {
      Arena arena;
      RunReader reader;
      Ctx ctx = make_ctx(reader, {set, false}, pool, arena, batch.batch(), nullptr);
      inputs.restart();
      const Weight& weight = inputs.weight("Q8_0", 1, kOut, kIn);
      const Tensor x = inputs.tensor(ctx, {kRows, kIn});
      const double start = Env::real().seconds();
      linear(ctx, x, weight);
      fastest = std::max(fastest, 2.0 * kRows * kOut * kIn / (Env::real().seconds() - start));
      peak = std::max(peak, measure_peak(Env::real(), pool, set, Activation::int8, 1));
    }
    EXPECT_LT(fastest, 1.05 * peak) << name(set);
  }
}

TEST(Probe, ALoopWithoutWorkTakesSomeTime) {
  ThreadPool pool(2);
  const double seconds = measure_loop(Env::real(), pool);
  EXPECT_GT(seconds, 1e-9);
  EXPECT_LT(seconds, 1e-2);
}

TEST(Probe, BandwidthIsThatOfAMemory) {
  ThreadPool pool(2);
  for (PageSize pages : {PageSize::small, PageSize::huge}) {
    const double rate = measure_bandwidth(Env::real(), pool, pages, 3);
    EXPECT_GT(rate, 1e8);
    EXPECT_LT(rate, 5e12);
  }
}

}  // namespace
}  // namespace landfall
