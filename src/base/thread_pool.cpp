#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

namespace landfall {
namespace {

// About 50 microseconds: longer than the gap between two loops of one decode step, shorter than anyone notices.
constexpr int kSpins = 2000;

// A guided range is what is left over this many shares for each thread.
constexpr int kSharesPerThread = 4;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

// One word says everything about the current loop: its number, whether it may still be joined, and how many workers are
// in it. A worker joins by counting itself in while the word is unchanged; the caller closes the loop when the work is
// handed out and waits only for those inside, so a worker that the system has put aside delays nobody.
constexpr uint64_t kOpen = uint64_t{1} << 16;
constexpr uint64_t kInside = kOpen - 1;
constexpr int kNumberShift = 17;

struct ThreadPool::State {
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<uint64_t> word{0};
  std::atomic<bool> stop{false};
  std::atomic<int> sleeping{0};

  // The current loop.
  Call call = nullptr;
  void* context = nullptr;
  int64_t count = 0;
  int64_t grain = 1;
  int64_t shares = 1;      // a range is this part of what is left, in whole grains
  int64_t even_range = 0;  // or of this length, where it is not 0
  std::atomic<int64_t> next{0};

  void work(int thread) {
    int64_t begin = next.load(std::memory_order_relaxed);
    while (begin < count) {
      const int64_t share = even_range > 0 ? even_range : (count - begin + shares - 1) / shares;
      const int64_t end = std::min(begin + (share + grain - 1) / grain * grain, count);
      if (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
      call(context, begin, end, thread);
      begin = next.load(std::memory_order_relaxed);
    }
  }

  static bool joinable(uint64_t w, uint64_t seen) { return (w & kOpen) != 0 && (w >> kNumberShift) != seen; }

  void worker(int thread) {
    uint64_t seen = 0;
    int spins = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      uint64_t w = word.load(std::memory_order_acquire);
      if (joinable(w, seen)) {
        spins = 0;
        if (!word.compare_exchange_weak(w, w + 1, std::memory_order_acq_rel)) continue;
        seen = w >> kNumberShift;
        work(thread);
        word.fetch_sub(1, std::memory_order_release);
      } else if (++spins < kSpins) {
        pause();
      } else {
        std::unique_lock lock(mutex);
        sleeping.fetch_add(1);
        wake.wait(lock, [&] { return joinable(word.load(), seen) || stop.load(); });
        sleeping.fetch_sub(1);
        spins = 0;
      }
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  for (int i = 1; i < threads; ++i) state_->workers.emplace_back([s = state_.get(), i] { s->worker(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop.store(true);
  }
  state_->wake.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(int64_t count, int64_t grain, Split split, Call call, void* context) {
  if (count <= 0) return;
  State& s = *state_;
  const int total = threads();
  grain = std::max<int64_t>(grain, 1);
  if (total == 1 || count <= grain) {
    call(context, 0, count, 0);
    return;
  }
  s.grain = grain;
  s.shares = kSharesPerThread * total;
  s.even_range = split == Split::even ? (count + total - 1) / total : 0;
  s.call = call;
  s.context = context;
  s.count = count;
  s.next.store(0, std::memory_order_relaxed);
  const uint64_t number = (s.word.load(std::memory_order_relaxed) >> kNumberShift) + 1;
  s.word.store(number << kNumberShift | kOpen);
  if (s.sleeping.load() > 0) {
    std::lock_guard lock(s.mutex);  // a worker between its test and its wait must not miss this
    s.wake.notify_all();
  }
  s.work(0);
  s.word.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int spins = 0; (s.word.load(std::memory_order_acquire) & kInside) != 0;) {
    if (++spins < 20000) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

int usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = std::max(1, CPU_COUNT(&set));
  // cgroup v2 quota: "<quota> <period>" or "max <period>"
  if (FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    long long quota = 0, period = 0;
    if (std::fscanf(file, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
      count = std::min<int>(count, static_cast<int>(std::max<long long>(1, (quota + period - 1) / period)));
    }
    std::fclose(file);
  }
  return count;
}

}  // namespace landfall
