#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace landfall {
namespace {

// About 50 microseconds: longer than the gap between two loops of one decode step, shorter than anyone notices. Not at
// all with more threads than can run at once: who spins then holds the processor that the awaited thread needs.
constexpr int kSpins = 2000;

// The caller waits for threads that are at work, so a good deal longer before it gives its processor away.
constexpr int kSpinsAtEnd = 10 * kSpins;

// A guided range is what is left over this many shares for each thread.
constexpr int kSharesPerThread = 4;

// What one thread writes while others read stands in a cache line of its own.
constexpr size_t kCacheLine = 64;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

IndexRange even_range(int64_t count, int64_t grain, int threads, int thread) {
  // Of `grains` in whole and `more` threads that get one more, evenly spread.
  const int64_t grains = (count + grain - 1) / grain;
  const auto begin_of = [&](int64_t t) {
    return std::min(count, (grains / threads * t + grains % threads * t / threads) * grain);
  };
  return {begin_of(thread), begin_of(thread + 1)};
}

// The caller publishes a loop in `word`: its number, and whether it may still be joined. A worker says in its own slot
// that it is inside and then looks whether the loop is still open; the caller closes the loop when the work is handed
// out and then looks which workers are inside. Each writes first and looks afterwards, so one of the two sees the
// other, and a worker that the system has put aside delays nobody. No word is written by several threads: a loop costs
// each thread a few cache lines to fetch, however many threads there are.
constexpr uint64_t kOpen = 1;

struct alignas(kCacheLine) Slot {
  std::atomic<bool> inside{false};
  std::atomic<uint64_t> taken{0};  // number of the last loop of which this thread's even range was taken, by anyone
};

struct ThreadPool::State {
  explicit State(int threads, Numa& with) : slots(static_cast<size_t>(threads)), numa(with) {}

  std::vector<Slot> slots;  // by thread
  std::vector<int> nodes;   // by thread
  std::vector<std::thread> workers;
  Numa& numa;
  int spins = kSpins, spins_at_end = kSpinsAtEnd;
  std::mutex mutex;
  std::condition_variable wake;

  // The current loop; read by all threads while it is open.
  alignas(kCacheLine) std::atomic<uint64_t> word{0};
  std::atomic<bool> stop{false};
  Call call = nullptr;
  void* context = nullptr;
  int64_t count = 0;
  int64_t grain = 1;
  int64_t shares = 1;  // a guided range is this part of what is left, in whole grains
  Split split = Split::guided;

  alignas(kCacheLine) std::atomic<int64_t> next{0};  // where the next guided range begins
  alignas(kCacheLine) std::atomic<int> sleeping{0};

  void work_guided(int thread) {
    int64_t begin = next.load(std::memory_order_relaxed);
    while (begin < count) {
      const int64_t share = (count - begin + shares - 1) / shares;
      const int64_t end = std::min(begin + (share + grain - 1) / grain * grain, count);
      if (!next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
      call(context, begin, end, thread);
      begin = next.load(std::memory_order_relaxed);
    }
  }

  // The range of `owner`, unless somebody has it.
  void work_even(uint64_t number, int owner, int thread) {
    std::atomic<uint64_t>& taken = slots[static_cast<size_t>(owner)].taken;
    if (taken.load(std::memory_order_relaxed) == number || taken.exchange(number, std::memory_order_relaxed) == number)
      return;
    const auto [begin, end] = even_range(count, grain, static_cast<int>(slots.size()), owner);
    if (begin < end) call(context, begin, end, thread);
  }

  void work(uint64_t number, int thread) {
    if (split == Split::guided) return work_guided(thread);
    work_even(number, thread, thread);
    if (thread != 0) return;
    // The caller would wait for the others anyway, and looks at their slots for that.
    for (int other = 1; other < static_cast<int>(slots.size()); ++other) work_even(number, other, thread);
  }

  static bool joinable(uint64_t w, uint64_t seen) { return (w & kOpen) != 0 && w != seen; }

  void worker(int thread) {
    Slot& slot = slots[static_cast<size_t>(thread)];
    uint64_t seen = 0;
    int spun = 0;
    while (!stop.load(std::memory_order_relaxed)) {
      const uint64_t w = word.load();
      if (joinable(w, seen)) {
        seen = w;
        slot.inside.store(true);
        if (word.load() == w) work(w / 2, thread);
        slot.inside.store(false);
        spun = 0;
      } else if (++spun < spins) {
        pause();
      } else {
        std::unique_lock lock(mutex);
        sleeping.fetch_add(1);
        wake.wait(lock, [&] { return joinable(word.load(), seen) || stop.load(); });
        sleeping.fetch_sub(1);
        spun = 0;
      }
    }
  }
};

ThreadPool::ThreadPool(int threads, const Topology& machine, Numa& numa)
    : state_(std::make_unique<State>(std::max(1, threads), numa)) {
  State& s = *state_;
  threads = static_cast<int>(s.slots.size());
  if (threads > machine.usable_processors()) s.spins = s.spins_at_end = 0;
  const bool bound = machine.nodes().size() > 1;
  for (int i = 0; bound && i < threads; ++i) s.nodes.push_back(machine.core_of(i, threads).node);
  for (int i = 1; i < threads; ++i) {
    s.workers.emplace_back([state = &s, i, processors = machine.core_of(i, threads).processors, bound] {
      if (bound) (void)state->numa.bind_thread(processors);  // refused: the system places the thread, as without nodes
      state->worker(i);
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stop.store(true);
  }
  state_->wake.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(state_->slots.size()); }
std::span<const int> ThreadPool::nodes() const { return state_->nodes; }
Numa& ThreadPool::numa() const { return state_->numa; }

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
  s.split = split;
  s.call = call;
  s.context = context;
  s.count = count;
  s.next.store(0, std::memory_order_relaxed);
  const uint64_t number = s.word.load(std::memory_order_relaxed) / 2 + 1;
  s.word.store(2 * number + kOpen);
  if (s.sleeping.load() > 0) {
    std::lock_guard lock(s.mutex);  // a worker between its test and its wait must not miss this
    s.wake.notify_all();
  }
  s.work(number, 0);
  s.word.store(2 * number);
  int spun = 0;
  for (const Slot& slot : s.slots) {
    while (slot.inside.load()) {
      if (++spun < s.spins_at_end) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
  }
}

}  // namespace landfall
