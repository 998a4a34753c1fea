#include "base/topology.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "base/testing.h"

namespace landfall {
namespace {

// A machine as /sys shows it, in a folder of its own.
class TopologyTest : public testing::Test {
 protected:
  void file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::string(folder_of(root_ + path)));
    std::ofstream(root_ + path) << text;
  }
  void siblings(int processor, const std::string& list) {
    file("/sys/devices/system/cpu/cpu" + std::to_string(processor) + "/topology/thread_siblings_list", list + "\n");
  }
  void node(int number, const std::string& list) {
    file("/sys/devices/system/node/node" + std::to_string(number) + "/cpulist", list + "\n");
  }
  void online(const std::string& list) { file("/sys/devices/system/node/online", list + "\n"); }

  // Two sockets of 16 cores with two threads each, numbered as Linux does: first threads, then second ones.
  void two_sockets() {
    for (int i = 0; i < 64; ++i) siblings(i, std::to_string(i % 32) + "," + std::to_string(i % 32 + 32));
    online("0-1");
    node(0, "0-15,32-47");
    node(1, "16-31,48-63");
  }

  Topology read(int first, int last) {
    std::vector<int> allowed(static_cast<size_t>(last - first + 1));
    std::iota(allowed.begin(), allowed.end(), first);
    return read_topology(Env::real(), allowed, root_);
  }

  const TemporaryFolder folder_;
  const std::string& root_ = folder_.path;
};

TEST_F(TopologyTest, OneNodeOfTwoCores) {
  siblings(0, "0");
  siblings(1, "1");
  online("0");
  node(0, "0-1");
  const Topology machine = read(0, 1);
  ASSERT_EQ(machine.cores.size(), 2u);
  EXPECT_EQ(machine.cores[1].processors, std::vector{1});
  EXPECT_EQ(machine.nodes(), std::vector{0});
  EXPECT_EQ(machine.default_threads(), 2);
}

TEST_F(TopologyTest, TwoNodesOfSixteenCoresOfTwoThreads) {
  two_sockets();
  const Topology machine = read(0, 63);
  ASSERT_EQ(machine.cores.size(), 32u);
  EXPECT_EQ(machine.processors, 64);
  EXPECT_EQ(machine.usable_processors(), 64);
  EXPECT_EQ(machine.default_threads(), 32);
  EXPECT_EQ(machine.nodes(), (std::vector{0, 1}));
  for (int i = 0; i < 32; ++i) {
    const Topology::Core& core = machine.cores[static_cast<size_t>(i)];
    EXPECT_EQ(core.node, i / 16);
    EXPECT_EQ(core.processors, (std::vector{i, i + 32}));
  }
}

TEST_F(TopologyTest, ThreadsGoOverTheCoresInOrderAndEvenly) {
  two_sockets();
  const Topology machine = read(0, 63);
  for (int threads : {1, 2, 3, 8, 31, 32, 33, 64, 100}) {
    std::map<int, int> on_core, on_node;
    int before = 0;
    for (int t = 0; t < threads; ++t) {
      const Topology::Core& core = machine.core_of(t, threads);
      EXPECT_GE(core.processors[0], before);
      before = core.processors[0];
      ++on_core[before];
      ++on_node[core.node];
    }
    for (const auto& [core, count] : on_core) EXPECT_LE(count, (threads + 31) / 32) << threads;
    EXPECT_LE(std::abs(on_node[0] - on_node[1]), 1) << threads;
  }
}

TEST_F(TopologyTest, AContainerLimitedToSixProcessorsOfOneNode) {
  two_sockets();
  const Topology machine = read(16, 21);
  EXPECT_EQ(machine.nodes(), std::vector{1});
  EXPECT_EQ(machine.default_threads(), 6);
  EXPECT_EQ(machine.cores[5].processors, std::vector{21});  // its second thread is not ours
}

TEST_F(TopologyTest, AQuotaOfTheContainerLimitsTheThreads) {
  two_sockets();
  const auto with = [&](const std::string& text) {
    file("/sys/fs/cgroup/cpu.max", text);
    return read(0, 63);
  };
  EXPECT_EQ(with("600000 100000\n").default_threads(), 6);
  EXPECT_EQ(with("610000 100000\n").usable_processors(), 7);
  EXPECT_EQ(with("1000 100000\n").default_threads(), 1);
  EXPECT_EQ(with("99999999999 100000\n").default_threads(), 32);
  for (const char* text :
       {"max 100000\n", "", "600000", "600000 ", "-1 100000", "600000 0", "x y", "9999999999999999999999 1"})
    EXPECT_EQ(with(text).quota, 0) << text;
}

TEST_F(TopologyTest, ProcessorsThatAreOfflineAreNotThere) {
  two_sockets();
  // 33 is offline: it is in no list any more, and has no topology folder.
  node(0, "0-15,32,34-47");
  siblings(1, "1");
  std::filesystem::remove_all(root_ + "/sys/devices/system/cpu/cpu33");
  std::vector<int> allowed(64);
  std::iota(allowed.begin(), allowed.end(), 0);
  allowed.erase(allowed.begin() + 33);
  const Topology machine = read_topology(Env::real(), allowed, root_);
  EXPECT_EQ(machine.cores.size(), 32u);
  EXPECT_EQ(machine.processors, 63);
  EXPECT_EQ(machine.cores[1].processors, std::vector{1});
}

TEST_F(TopologyTest, WhatCannotBeReadIsOneNodeOfCores) {
  const auto plain = [](const Topology& machine, int cores) {
    EXPECT_EQ(machine.cores.size(), static_cast<size_t>(cores));
    EXPECT_EQ(machine.nodes(), std::vector{0});
  };
  plain(read(0, 3), 4);  // no files at all
  two_sockets();
  node(1, "16-31,48-");  // damaged
  plain(read(0, 63), 32);
  node(1, "16-30,48-63");  // a processor without a node
  plain(read(0, 63), 32);
  node(1, "16-31,48-63");
  online("0-1,99");  // a node without a folder
  plain(read(0, 63), 32);
  online("0-1");
  for (int i = 0; i < 64; ++i) siblings(i, i % 2 ? "nonsense" : "70-71");  // lists without the processor itself
  EXPECT_EQ(read(0, 63).cores.size(), 64u);
  const Topology nothing = read_topology(Env::real(), {}, root_);
  EXPECT_EQ(nothing.cores.size(), 1u);
  EXPECT_EQ(nothing.default_threads(), 1);
}

TEST(CpuList, IsReadOrRefused) {
  EXPECT_EQ(*parse_cpu_list("0-3,8,10-11\n"), (std::vector{0, 1, 2, 3, 8, 10, 11}));
  EXPECT_EQ(*parse_cpu_list("5,1-2,2"), (std::vector{1, 2, 5}));
  EXPECT_EQ(*parse_cpu_list("\n"), std::vector<int>());
  EXPECT_EQ(parse_cpu_list("65535")->size(), 1u);
  for (const char* text : {",", "1,", ",1", "1,,2", "-1", "1-", "3-1", "1-2-3", "0x1", " 1", "1 2", "1\n\n", "65536",
                           "99999999999999999999", "0-4294967296"}) {
    const auto list = parse_cpu_list(text);
    ASSERT_FALSE(list.ok()) << text;
    EXPECT_EQ(list.status().code(), Code::data_loss);
  }
}

TEST(CpuList, ArbitraryTextGivesAscendingNumbersOrAnError) {
  std::mt19937 random(1);
  constexpr std::string_view kLetters = "0123456789,,--\n x\xff";
  int read = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text(random() % 12, ' ');
    for (char& c : text) c = kLetters[random() % kLetters.size()];
    const auto list = parse_cpu_list(text);
    if (!list.ok()) continue;
    ++read;
    EXPECT_TRUE(std::is_sorted(list->begin(), list->end()));
    EXPECT_EQ(std::set<int>(list->begin(), list->end()).size(), list->size());
    std::string again;
    for (int number : *list) again += (again.empty() ? "" : ",") + std::to_string(number);
    EXPECT_EQ(*parse_cpu_list(again), *list);
  }
  EXPECT_GT(read, 1000);
}

TEST(Topology, ThisMachineHasACore) {
  EXPECT_GE(this_machine().default_threads(), 1);
  EXPECT_LE(this_machine().default_threads(), this_machine().usable_processors());
}

}  // namespace
}  // namespace landfall
