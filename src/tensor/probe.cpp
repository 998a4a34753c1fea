#include "tensor/probe.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tensor/access.h"
#define LANDFALL_TARGET_FILE "tensor/probe.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
namespace {

constexpr int64_t kBytesPerThread = int64_t{256} << 20;

struct Reading {
  KernelSet set;
  float (*all)(const float*, int64_t);
};
constexpr Reading kReading[] = {LANDFALL_KERNELS(read_all)};

std::atomic<float> g_sink;  // what is read must be used

}  // namespace

BandwidthProbe::BandwidthProbe(ThreadPool& pool, PageSize pages)
    : pool_(pool), buffer_(Buffer::allocate(static_cast<size_t>(pool.threads() * kBytesPerThread))) {
  if (!buffer_) return;
  if (pages == PageSize::small) ::madvise(buffer_->host(), buffer_->size(), MADV_NOHUGEPAGE);
  // Even, as in measure(): each thread finds its part in the memory beside it.
  pool_.parallel_for(
      pool_.threads(), 1,
      [&](int64_t begin, int64_t end, int) {
        std::memset(buffer_->host() + begin * kBytesPerThread, 1, static_cast<size_t>((end - begin) * kBytesPerThread));
      },
      ThreadPool::Split::even);
}

int64_t BandwidthProbe::bytes() const { return buffer_ ? pool_.threads() * kBytesPerThread : 0; }

double BandwidthProbe::measure(Env& env) {
  if (!buffer_) return 0;
  const auto read = row_for(kReading, available_kernel_sets().back()).all;
  const double start = env.seconds();
  pool_.parallel_for(
      pool_.threads(), 1,
      [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          g_sink = read(reinterpret_cast<const float*>(buffer_->host() + t * kBytesPerThread), kBytesPerThread / 4);
      },
      ThreadPool::Split::even);
  return static_cast<double>(bytes()) / (env.seconds() - start);
}

double measure_bandwidth(Env& env, ThreadPool& pool, PageSize pages, int rounds) {
  BandwidthProbe probe(pool, pages);
  std::vector<double> rates;
  for (int round = 0; round < rounds; ++round) rates.push_back(probe.measure(env));
  std::sort(rates.begin(), rates.end());
  return rates.empty() ? 0 : rates[rates.size() / 2];
}

double measure_peak(Env& env, ThreadPool& pool, KernelSet set, Activation kind, int rounds) {
  const PeakLoop loop = peak_loop(set, kind);
  constexpr int64_t kLoops = 1'000'000;  // 3 ms or more
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    const double start = env.seconds();
    pool.parallel_for(pool.threads(), 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) loop.run(kLoops);
    });
    best = std::max(best, loop.operations * static_cast<double>(kLoops) * pool.threads() / (env.seconds() - start));
  }
  return best;
}

double measure_loop(Env& env, ThreadPool& pool) {
  constexpr int kLoops = 2001;
  constexpr int kSpins = 1000;  // and then a thread that is awaited may need this processor
  const int threads = pool.threads();
  std::vector<double> seconds;
  for (int i = 0; i < kLoops; ++i) {
    std::atomic<int> here{0};
    const double start = env.seconds();
    pool.parallel_for(
        threads, 1,
        [&](int64_t, int64_t, int) {
          here.fetch_add(1);
          for (int spun = 0; here.load() < threads; ++spun) {
            if (spun > kSpins) std::this_thread::yield();
          }
        },
        ThreadPool::Split::even);
    seconds.push_back(env.seconds() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[kLoops / 2];
}

double measure_clock(Env& env, int rounds) {
  constexpr int64_t kRounds = 100'000;  // 3 ms
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    const double start = env.seconds();
    count_cycles(kRounds);
    best = std::max(best, 100.0 * static_cast<double>(kRounds) / (env.seconds() - start));
  }
  return best;
}

}  // namespace landfall
