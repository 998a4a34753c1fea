// The tree over a cache whose only slot holds one number per position: a hash of the tokens up to there, as the rows of
// a real cache depend on all tokens before. Whatever is adopted must hold the hashes of the adopter's own tokens.
#include "runtime/prefix_tree.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "runtime/testing.h"

namespace landfall {
namespace {

class PrefixTreeTest : public testing::Test {
 protected:
  explicit PrefixTreeTest(int64_t pages = 8) : cache({{"hash", 1}}, CacheType::f32, pages * kPagePositions) {}

  static uint32_t hash_of(std::span<const int32_t> tokens) {
    uint32_t hash = 2166136261u;
    for (int32_t token : tokens) hash = (hash ^ static_cast<uint32_t>(token)) * 16777619u;
    return hash;
  }

  std::byte* row(int32_t sequence, int64_t position) {
    return cache.pages(0, sequence)[static_cast<size_t>(position / kPagePositions)] + position % kPagePositions * 4;
  }

  void read(int32_t sequence, const Tokens& tokens) {
    const int64_t held = cache.length(sequence);
    cache.extend(sequence, static_cast<int64_t>(tokens.size()) - held);
    for (int64_t i = held; i < cache.length(sequence); ++i) {
      const uint32_t hash = hash_of(std::span(tokens).first(static_cast<size_t>(i + 1)));
      std::memcpy(row(sequence, i), &hash, 4);
    }
  }

  void expect_rows(int32_t sequence, const Tokens& tokens) {
    for (int64_t i = 0; i < cache.length(sequence); ++i) {
      const uint32_t hash = hash_of(std::span(tokens).first(static_cast<size_t>(i + 1)));
      ASSERT_EQ(std::memcmp(row(sequence, i), &hash, 4), 0) << "position " << i;
    }
  }

  int64_t adopt(int32_t sequence, const Tokens& tokens) {
    const int64_t pages = tree.adopt_pages(sequence, tokens);
    EXPECT_EQ(pages % kPagePositions, 0);
    return pages + tree.adopt_rows(sequence, tokens);
  }

  // Reads the tokens as a request would, and leaves them in the tree. Returns how many were found there.
  int64_t visit(const Tokens& tokens) {
    const int32_t s = cache.open(0).value();
    const int64_t found = adopt(s, tokens);
    expect_rows(s, tokens);
    while (cache.free_pages() < cache.pages_needed(s, static_cast<int64_t>(tokens.size()) - found)) {
      EXPECT_TRUE(tree.evict());
    }
    read(s, tokens);
    tree.insert(s, tokens);
    cache.close(s);
    return found;
  }

  // What the tree would give, without using it.
  int64_t found(const Tokens& tokens) {
    const int32_t s = cache.open(0).value();
    const int64_t out = adopt(s, tokens);
    cache.close(s);
    return out;
  }

  KvCache cache;
  PrefixTree tree{cache};
};

Tokens counting(int32_t from, int64_t count) {
  Tokens out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) out[i] = from + static_cast<int32_t>(i);
  return out;
}

TEST_F(PrefixTreeTest, AnEmptyTreeGivesNothing) {
  const int32_t s = cache.open(0).value();
  EXPECT_EQ(tree.adopt_pages(s, {}), 0);
  EXPECT_EQ(adopt(s, counting(0, 300)), 0);
  EXPECT_FALSE(tree.evict());
}

TEST_F(PrefixTreeTest, PagesAreSharedAndThePartOfOneIsCopied) {
  const Tokens first = counting(0, 300), second = joined(counting(0, 200), counting(1000, 100));
  visit(first);
  EXPECT_EQ(tree.pages(), 3);
  const int32_t s = cache.open(0).value();
  EXPECT_EQ(tree.adopt_pages(s, second), 128);
  EXPECT_EQ(cache.free_pages(), 8 - 3) << "a shared page takes none";
  EXPECT_EQ(tree.adopt_rows(s, second), 72);
  EXPECT_EQ(cache.free_pages(), 8 - 4);
  read(s, second);  // writes behind the copied rows
  expect_rows(s, second);
  EXPECT_EQ(visit(first), 300) << "the first one's page is as it was";
  tree.insert(s, second);
  cache.close(s);
  EXPECT_EQ(visit(second), 300);
  EXPECT_EQ(tree.pages(), 5);
}

TEST_F(PrefixTreeTest, ALongerPageTakesThePlaceOfItsBeginning) {
  visit(counting(0, 50));
  EXPECT_EQ(visit(counting(0, 100)), 50);
  EXPECT_EQ(tree.pages(), 1);
  EXPECT_EQ(visit(counting(0, 30)), 30) << "the beginning of what is there adds nothing";
  EXPECT_EQ(tree.pages(), 1);
  EXPECT_EQ(visit(counting(0, 200)), 100);
  EXPECT_EQ(tree.pages(), 2);
}

TEST_F(PrefixTreeTest, RowsOfOneAdapterAreNotThoseOfAnother) {
  const Tokens tokens = counting(0, 300);
  visit(tokens);
  for (uint64_t adapter : {1, 2}) {
    const int32_t s = cache.open(0).value();
    EXPECT_EQ(tree.adopt_pages(s, tokens, adapter), 0);
    EXPECT_EQ(tree.adopt_rows(s, tokens, adapter), 0);
    cache.extend(s, adapter == 1 ? 128 : 64);
    tree.insert(s, std::span(tokens).first(adapter == 1 ? 128 : 64), adapter);
    cache.close(s);
  }
  for (const auto& [adapter, rows] : std::map<uint64_t, int64_t>{{0, 300}, {1, 128}, {2, 64}, {3, 0}}) {
    const int32_t s = cache.open(0).value();
    const int64_t pages = tree.adopt_pages(s, tokens, adapter);
    EXPECT_EQ(pages + tree.adopt_rows(s, tokens, adapter), rows) << adapter;
    cache.close(s);
  }
  while (tree.evict()) {
  }
  EXPECT_EQ(cache.free_pages(), cache.total_pages());
  EXPECT_EQ(visit(tokens), 0);
}

TEST_F(PrefixTreeTest, ASequenceTakesUpWhereItStands) {
  const Tokens tokens = counting(0, 400);
  const int32_t late = cache.open(0).value();
  read(late, counting(0, 128));
  EXPECT_EQ(tree.adopt_rows(late, tokens), 0) << "its own page is not in the tree";
  visit(tokens);
  EXPECT_EQ(tree.adopt_pages(late, tokens), 256);
  EXPECT_EQ(tree.adopt_rows(late, tokens), 16);
  expect_rows(late, tokens);
}

TEST_F(PrefixTreeTest, TheLeastRecentlyUsedEndsLeaveFirst) {
  const Tokens common = counting(0, 128), a = joined(common, counting(1000, 256)),
               b = joined(common, counting(2000, 128)), c = counting(3000, 100);
  visit(a);
  visit(b);
  visit(c);
  EXPECT_EQ(tree.pages(), 5);
  found(a);  // now b is the oldest
  EXPECT_TRUE(tree.evict());
  EXPECT_EQ(found(b), 128);
  EXPECT_TRUE(tree.evict());
  EXPECT_EQ(found(c), 0);
  EXPECT_TRUE(tree.evict()) << "the end of a, and not the page before it";
  EXPECT_EQ(found(a), 256);
  EXPECT_TRUE(tree.evict());
  EXPECT_EQ(found(a), 128);
  EXPECT_TRUE(tree.evict());
  EXPECT_FALSE(tree.evict());
  EXPECT_EQ(cache.free_pages(), cache.total_pages());
}

TEST_F(PrefixTreeTest, PagesInUseLeaveLast) {
  const Tokens a = counting(0, 128), b = counting(1000, 128);
  visit(a);
  const int32_t s = cache.open(0).value();
  EXPECT_EQ(tree.adopt_pages(s, a), 128);
  visit(b);
  EXPECT_TRUE(tree.evict());
  EXPECT_EQ(found(b), 0);
  EXPECT_TRUE(tree.evict());
  expect_rows(s, a);
  EXPECT_EQ(cache.free_pages(), cache.total_pages() - 1);
}

TEST_F(PrefixTreeTest, WithoutRoomForACopyWholePagesAreShared) {
  visit(counting(0, 200));
  std::vector<int32_t> others;
  while (cache.free_pages() > 0) cache.extend(others.emplace_back(cache.open(0).value()), 1);
  const int32_t s = cache.open(0).value();
  const Tokens other = joined(counting(0, 190), counting(1000, 10));
  EXPECT_EQ(tree.adopt_pages(s, other), 128);
  tree.adopt_rows(s, other);  // the only page that could leave is the one to copy
  expect_rows(s, other);
}

class SmallPrefixTreeTest : public PrefixTreeTest {
 protected:
  SmallPrefixTreeTest() : PrefixTreeTest(6) {}
};

// Against every sequence ever inserted. The tree may have forgotten, but never gives rows that nobody read; and with
// room for all it finds the longest beginning of any.
TEST_F(SmallPrefixTreeTest, FindsTheLongestBeginningAndOnlyThat) {
  std::mt19937 random(7);
  const auto draw = [&](int32_t n) { return static_cast<int32_t>(random() % static_cast<uint32_t>(n)); };
  for (const bool room : {true, false}) {
    KvCache big({{"hash", 1}}, CacheType::f32, 4000 * kPagePositions);
    PrefixTree all(big);
    std::vector<Tokens> inserted;
    for (int round = 0; round < 400; ++round) {
      Tokens tokens;  // few different pieces, so that beginnings are often common
      while (tokens.size() < static_cast<size_t>(20 + draw(400))) {
        tokens = joined(tokens, counting(1000 * draw(2), 40 + 50 * draw(3)));
      }
      int64_t longest = 0;
      for (const Tokens& other : inserted) {
        longest = std::max<int64_t>(
            longest, std::mismatch(tokens.begin(), tokens.end(), other.begin(), other.end()).first - tokens.begin());
      }
      if (room) {
        const int32_t s = big.open(0).value();
        const int64_t got = all.adopt_pages(s, tokens);
        ASSERT_EQ(got + all.adopt_rows(s, tokens), longest);
        big.extend(s, static_cast<int64_t>(tokens.size()) - longest);
        all.insert(s, tokens);
        big.close(s);
        ASSERT_EQ(big.free_pages(), big.total_pages() - all.pages());
      } else {
        ASSERT_LE(visit(tokens), longest);
        ASSERT_EQ(cache.free_pages(), cache.total_pages() - tree.pages());
      }
      inserted.push_back(std::move(tokens));
    }
  }
}

}  // namespace
}  // namespace landfall
