// Machines with several nodes, simulated: what the split of a step of one row hands to each thread, against where the
// bytes were placed.
#include "model/placement.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/testing.h"
#include "model/packed.h"
#include "model/testing.h"
#include "tensor/weight.h"

namespace landfall {
namespace {

constexpr int64_t kMebibyte = 1 << 20;

std::vector<int> nodes_of(int nodes, int threads) {
  const Topology machine = machine_of(nodes, 16);
  std::vector<int> out;
  for (int t = 0; t < threads; ++t) out.push_back(machine.core_of(t, threads).node);
  return out;
}

// Bytes that a thread reads from a node that is not its own; those that nothing was said about count as well.
int64_t bytes_elsewhere(const std::vector<PlacedRange>& placed, int64_t panels, int64_t panel_bytes, int64_t offset,
                        const std::vector<int>& nodes) {
  int64_t out = 0;
  for (size_t t = 0; t < nodes.size(); ++t) {
    const IndexRange own = even_range(panels, 1, static_cast<int>(nodes.size()), static_cast<int>(t));
    const int64_t begin = offset + own.begin * panel_bytes, end = offset + own.end * panel_bytes;
    out += end - begin;
    for (const PlacedRange& range : placed) {
      if (range.node == nodes[t]) out -= std::max<int64_t>(0, std::min(end, range.end) - std::max(begin, range.begin));
    }
  }
  return out;
}

TEST(Placement, EveryPanelLiesOnTheNodeOfItsThread) {
  for (int count : {2, 4}) {
    for (int threads : {2, 3, 16 * count - 1, 16 * count, 32 * count}) {
      const std::vector<int> nodes = nodes_of(count, threads);
      for (int64_t panels : {1, 2, 3, 31, 33, 36, 63, 64, 65, 87, 88, 128, 176, 448, 1024, 6400, 8080}) {
        const int64_t panel_bytes = 18432, offset = 64 * 12345;
        const auto exact = placement(panels, panel_bytes, offset, nodes, 1);
        EXPECT_EQ(bytes_elsewhere(exact, panels, panel_bytes, offset, nodes), 0) << panels << " on " << threads;
        EXPECT_EQ(exact.front().begin, offset);
        EXPECT_EQ(exact.back().end, offset + panels * panel_bytes);
        for (int64_t page : {int64_t{4096}, 2 * kMebibyte}) {
          const auto placed = placement(panels, panel_bytes, offset, nodes, page);
          int64_t at = offset;
          for (const PlacedRange& range : placed) {
            EXPECT_EQ(range.begin % page + range.end % page, 0);
            EXPECT_LT(range.begin, range.end);
            EXPECT_GE(range.begin, at);
            at = range.end;
          }
          EXPECT_LE(at, offset + panels * panel_bytes);
          // Half a page at each place where nodes meet, and a page at both ends at most.
          EXPECT_LE(bytes_elsewhere(placed, panels, panel_bytes, offset, nodes), (count - 1) * page / 2 + 2 * page);
        }
      }
    }
  }
}

// [out, in] of the dense matrices of DeepSeek V3 in 4 bits, placed in 2 MiB pages on two nodes of 32 threads.
TEST(Placement, OfALargeModelNearlyEverythingIsNear) {
  const std::vector<int> nodes = nodes_of(2, 32);
  int64_t bytes = 0, elsewhere = 0;
  for (const auto& [out, in] : {std::pair{1536, 7168}, {24576, 1536}, {576, 7168}, {32768, 512}, {7168, 16384}}) {
    const int64_t panels = out / 16, panel_bytes = int64_t{in} * 9, offset = bytes;
    const auto placed = placement(panels, panel_bytes, offset, nodes, 2 * kMebibyte);
    elsewhere += bytes_elsewhere(placed, panels, panel_bytes, offset, nodes);
    bytes += panels * panel_bytes;
  }
  EXPECT_LT(elsewhere, bytes / 8) << bytes;  // a small matrix that fills no page, and half of it is near by chance
}

TEST(Placement, ANodeWithoutThreadsGetsNothing) {
  const std::vector<int> nodes = {0, 3};  // numbers of nodes need not be dense
  const auto placed = placement(10, 4096, 0, nodes, 4096);
  ASSERT_EQ(placed.size(), 2u);
  EXPECT_EQ(placed[1].begin, 5 * 4096);
  EXPECT_EQ(placed[1].node, 3);
}

TEST(Placement, AsksForTheRunOfEachNode) {
  RecordedNuma numa;
  ThreadPool pool(4, machine_of(2, 2), numa);
  const auto memory = Buffer::allocate(64 * kMebibyte);
  ASSERT_NE(memory, nullptr);
  Weight w = describe_weight(0, "w", *format_by_name("Q8_0"), 1, 4096, 4096);
  w.buffer = memory.get();
  w.offset = kMebibyte;
  ASSERT_TRUE(place_in_turn(*memory, pool));
  ASSERT_TRUE(place_by_thread(w, pool));
  ASSERT_EQ(numa.placed.size(), 3u);
  EXPECT_EQ(numa.placed[0].begin, memory->host());
  EXPECT_EQ(numa.placed[0].bytes, memory->size());
  EXPECT_EQ(numa.placed[0].nodes, (std::vector{0, 0, 1, 1}));
  EXPECT_EQ(numa.placed[1].begin, memory->host() + 2 * kMebibyte);
  EXPECT_EQ(numa.placed[1].nodes, std::vector{0});
  EXPECT_EQ(numa.placed[2].begin, numa.placed[1].begin + numa.placed[1].bytes);
  EXPECT_EQ(numa.placed[2].nodes, std::vector{1});
}

TEST(Placement, LoadingAsksOnceWhereItIsRefusedAndNeverOnOneNode) {
  const std::string folder = write_golden_model(read_golden("deepseek_v2"), Json());
  for (int nodes : {1, 2}) {
    for (bool grants : {true, false}) {
      RecordedNuma numa(grants);
      ThreadPool pool(2, machine_of(nodes, 4), numa);
      auto source = ModelSource::open(Env::real(), folder);
      ASSERT_TRUE(source.ok()) << source.status().message();
      auto model = describe_model(*source);
      ASSERT_TRUE(model.ok()) << model.status().message();
      ASSERT_TRUE(load_weights(*source, pool, {}, *model).ok());
      EXPECT_EQ(numa.placed.size(), nodes == 1 ? 0u : 1u);  // no matrix of this model fills a page
      EXPECT_TRUE(numa.new_pages.empty());
    }
  }
  std::filesystem::remove_all(folder);
}

TEST(Placement, AMappedFileIsReadInOnAllNodesInTurn) {
  const std::string folder = write_golden_model(read_golden("deepseek_v2"), Json());
  RecordedNuma numa;
  ThreadPool pool(2, machine_of(2, 4), numa);
  auto source = ModelSource::open(Env::real(), folder);
  ASSERT_TRUE(source.ok()) << source.status().message();
  auto model = describe_model(*source);
  ASSERT_TRUE(model.ok() && load_weights(*source, pool, {}, *model).ok());
  std::string bytes;
  ASSERT_TRUE(write_packed(*source, *model, [&](std::span<const std::byte> piece) -> Status {
                bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
                return {};
              }).ok());
  ASSERT_TRUE(write_file(Env::real(), folder + "/m.landfall", bytes).ok());
  numa.placed.clear();
  auto packed = ModelSource::open(Env::real(), folder + "/m.landfall");
  ASSERT_TRUE(packed.ok()) << packed.status().message();
  auto mapped = describe_model(*packed);
  ASSERT_TRUE(mapped.ok() && load_weights(*packed, pool, {}, *mapped).ok());
  EXPECT_TRUE(numa.placed.empty());
  EXPECT_EQ(numa.new_pages, (std::vector<std::vector<int>>{{0, 1}, {}}));  // and back again
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace landfall
