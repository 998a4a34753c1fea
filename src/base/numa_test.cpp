#include "base/numa.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <thread>

#include "base/topology.h"

namespace landfall {
namespace {

TEST(Numa, WhatTheSystemCannotDoIsRefused) {
  Numa& numa = Numa::real();
  const int absent[] = {1000};
  std::thread([&] {  // a thread of its own: what it is bound to ends with it
    EXPECT_FALSE(numa.bind_thread({}));
    EXPECT_FALSE(numa.place_new_pages(absent));
    std::byte here;
    EXPECT_FALSE(numa.place(&here + 1, 4096, absent));
  })
      .join();
}

TEST(Numa, AThreadIsBoundToACoreThatIsThere) {
  const Topology::Core& core = this_machine().cores.back();
  std::thread([&] {
    ASSERT_TRUE(Numa::real().bind_thread(core.processors));
    EXPECT_NE(std::find(core.processors.begin(), core.processors.end(), ::sched_getcpu()), core.processors.end());
  }).join();
}

TEST(Numa, PagesAreThereWhereverTheyAreFrom) {
  constexpr size_t kBytes = 1 << 20;
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  (void)Numa::real().place(static_cast<std::byte*>(memory), kBytes, this_machine().nodes());  // containers may refuse
  static_cast<char*>(memory)[kBytes - 1] = 1;
  ::munmap(memory, kBytes);
}

}  // namespace
}  // namespace landfall
