#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/testing.h"

namespace landfall {
namespace {

TEST(ThreadPool, EveryIndexIsVisitedOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t count : {1, 2, 3, 7, 64, 1000, 12345}) {
      for (int64_t grain : {1, 3, 16, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
        std::atomic<bool> right{true};
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int thread) {
          right = right && begin < end && begin % grain == 0 && (end == count || (end - begin) % grain == 0) &&
                  thread >= 0 && thread < threads;
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        EXPECT_TRUE(right) << count << " by " << grain;
        for (const auto& v : visits) ASSERT_EQ(v, 1) << count << " by " << grain;
      }
    }
  }
}

TEST(ThreadPool, EvenGivesEachThreadOneRangeAndGuidedEverSmallerOnes) {
  ThreadPool pool(2);
  for (auto split : {ThreadPool::Split::even, ThreadPool::Split::guided}) {
    std::mutex mutex;
    std::vector<std::pair<int64_t, int64_t>> ranges;
    pool.parallel_for(
        1000, 2,
        [&](int64_t begin, int64_t end, int) {
          std::lock_guard lock(mutex);
          ranges.emplace_back(begin, end - begin);
        },
        split);
    std::sort(ranges.begin(), ranges.end());
    if (split == ThreadPool::Split::even) {
      ASSERT_EQ(ranges.size(), 2u);
      EXPECT_EQ(ranges[1], std::make_pair(int64_t{500}, int64_t{500}));
      continue;
    }
    EXPECT_EQ(ranges[0].second, 126);  // an eighth, in whole grains
    for (size_t i = 1; i < ranges.size(); ++i) EXPECT_LE(ranges[i].second, ranges[i - 1].second);
    EXPECT_EQ(ranges.back().second, 2);
  }
}

TEST(ThreadPool, NothingToDoCallsNothing) {
  ThreadPool pool(2);
  int calls = 0;
  pool.parallel_for(0, 1, [&](int64_t, int64_t, int) { ++calls; });
  pool.parallel_for(-3, 1, [&](int64_t, int64_t, int) { ++calls; });
  EXPECT_EQ(calls, 0);
  pool.parallel_for(2, 0, [&](int64_t begin, int64_t end, int) { EXPECT_LT(begin, end); });  // a grain of 0 counts as 1
}

TEST(ThreadPool, ThreadsWorkAtTheSameTime) {
  ThreadPool pool(3);
  std::atomic<int> here{0};
  // Each range waits until three are being worked on: one thread alone would never get on.
  pool.parallel_for(3, 1, [&](int64_t, int64_t, int) {
    ++here;
    while (here < 3) std::this_thread::yield();
  });
  EXPECT_EQ(here, 3);
}

TEST(ThreadPool, ResultsOfALoopAreVisibleAfterIt) {
  ThreadPool pool(2);
  std::vector<int64_t> squares(512);
  for (int round = 0; round < 5000; ++round) {
    pool.parallel_for(512, 8, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) squares[static_cast<size_t>(i)] = i * i + round;
    });
    for (int64_t i = 0; i < 512; ++i) ASSERT_EQ(squares[static_cast<size_t>(i)], i * i + round);
  }
}

TEST(ThreadPool, WorkersThatSleptWakeUp) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 3));  // longer than they spin
    std::atomic<int> here{0};
    pool.parallel_for(3, 1, [&](int64_t, int64_t, int) {
      ++here;
      while (here < 3) std::this_thread::yield();
    });
    ASSERT_EQ(here, 3);
  }
}

TEST(ThreadPool, PoolsComeAndGo) {
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(4);
    if (i % 2) pool.parallel_for(8, 1, [](int64_t, int64_t, int) {});
  }
}

TEST(EvenRange, CoversEverythingInOrderWithLengthsThatDifferByAGrain) {
  for (int threads : {1, 2, 3, 32, 64, 100}) {
    for (int64_t grain : {1, 2, 16}) {
      for (int64_t count : {1, 2, 63, 64, 65, 87, 88, 1000, 6401}) {
        int64_t at = 0, least = count, most = 0;
        for (int t = 0; t < threads; ++t) {
          const auto [begin, end] = even_range(count, grain, threads, t);
          ASSERT_EQ(begin, at);
          ASSERT_LE(begin, end);
          ASSERT_TRUE(end % grain == 0 || end == count);
          least = std::min(least, (end - begin + grain - 1) / grain);
          most = std::max(most, (end - begin + grain - 1) / grain);
          at = end;
        }
        EXPECT_EQ(at, count);
        EXPECT_LE(most - least, 1) << count << " by " << grain << " on " << threads;
      }
    }
  }
  // Nodes with as many threads have as much: 88 panels on 64 threads are 44 and 44.
  EXPECT_EQ(even_range(88, 1, 64, 32).begin, 44);
}

TEST(ThreadPool, AnEvenRangeIsItsThreadsOrTheCallers) {
  ThreadPool pool(4);
  for (int round = 0; round < 200; ++round) {
    std::atomic<bool> right{true};
    pool.parallel_for(
        400, 1,
        [&](int64_t begin, int64_t end, int thread) {
          const auto own = even_range(400, 1, 4, thread);
          right = right && end - begin == 100 && (thread == 0 || (begin == own.begin && end == own.end));
        },
        ThreadPool::Split::even);
    ASSERT_TRUE(right);
  }
}

// Far more threads than processors: nobody may hold a processor by spinning for somebody who needs it.
TEST(ThreadPool, SixtyFourThreadsGetOnWithFewProcessors) {
  ThreadPool pool(64);
  for (auto split : {ThreadPool::Split::even, ThreadPool::Split::guided}) {
    for (int round = 0; round < 300; ++round) {
      std::atomic<int64_t> sum{0};
      pool.parallel_for(
          1000, 1,
          [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; ++i) sum.fetch_add(i, std::memory_order_relaxed);
          },
          split);
      ASSERT_EQ(sum, 999 * 1000 / 2);
      if (round % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // all park
    }
  }
  // All of them come to work when the work waits for them.
  std::atomic<int> here{0};
  pool.parallel_for(64, 1, [&](int64_t, int64_t, int) {
    ++here;
    while (here < 64) std::this_thread::yield();
  });
  EXPECT_EQ(here, 64);
}

TEST(ThreadPool, GuidedRangesOfSixtyFourThreadsEndWithOneGrain) {
  ThreadPool pool(64);
  std::mutex mutex;
  std::vector<std::pair<int64_t, int64_t>> ranges;
  pool.parallel_for(5632, 1,
                    [&](int64_t begin, int64_t end, int) {  // panels of all experts of a DeepSeek V2-Lite layer
                      std::lock_guard lock(mutex);
                      ranges.emplace_back(begin, end - begin);
                    });
  std::sort(ranges.begin(), ranges.end());
  EXPECT_EQ(ranges.front().second, 22);  // of 256 shares
  EXPECT_EQ(ranges.back().second, 1);
  EXPECT_LT(ranges.size(), 1200u);
}

TEST(ThreadPool, WorkersAreBoundInOrderOfNodesAndOnlyWhereThereAreSeveral) {
  RecordedNuma numa(false);  // as in a container
  {
    ThreadPool pool(4, machine_of(1, 8), numa);
    EXPECT_TRUE(pool.nodes().empty());
  }
  EXPECT_TRUE(numa.bound.empty());
  {
    ThreadPool pool(4, machine_of(2, 4), numa);
    const std::vector<int> nodes(pool.nodes().begin(), pool.nodes().end());
    EXPECT_EQ(nodes, (std::vector{0, 0, 1, 1}));
    EXPECT_EQ(&pool.numa(), &numa);
    std::atomic<int> visits{0};
    pool.parallel_for(100, 1, [&](int64_t begin, int64_t end, int) { visits += static_cast<int>(end - begin); });
    EXPECT_EQ(visits, 100);  // refusal is no error
  }
  std::sort(numa.bound.begin(), numa.bound.end());
  EXPECT_EQ(numa.bound, (std::vector<std::vector<int>>{{2}, {4}, {6}}));  // the caller is left as it is
}

}  // namespace
}  // namespace landfall
