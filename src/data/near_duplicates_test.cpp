#include "data/near_duplicates.h"

#include <gtest/gtest.h>

#include <string>

#include "base/testing.h"
#include "data/testing.h"

namespace landfall {
namespace {

// `words` words, different for each seed; every `change`-th is another when not 0.
std::string words(uint64_t seed, int words, int change = 0) {
  std::string out;
  for (int i = 0; i < words; ++i) {
    const uint64_t word = (seed * 1000003 + static_cast<uint64_t>(i)) * 0x9E3779B97F4A7C15u >> 44;
    out += (i ? " w" : "w") + std::to_string(word) + (change && i % change == change - 1 ? "x" : "");
  }
  return out;
}

TEST(NearDuplicates, equal_words_are_seen_whatever_stands_between_them) {
  NearDuplicates texts;
  EXPECT_FALSE(texts.seen("The quick brown fox jumps over the lazy dog."));
  EXPECT_TRUE(texts.seen("The quick brown fox jumps over the lazy dog."));
  EXPECT_TRUE(texts.seen("the QUICK brown fox,\n jumps over the lazy dog!"));
  EXPECT_FALSE(texts.seen("Pack my box with five dozen liquor jugs."));
  EXPECT_FALSE(texts.seen("fox"));  // fewer words than a shingle
  EXPECT_TRUE(texts.seen("Fox"));
  EXPECT_FALSE(texts.seen("..."));
  EXPECT_FALSE(texts.seen("!!!")) << "texts without words are never compared";
  EXPECT_FALSE(texts.seen("\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xB8\x96\xE7\x95\x8C\xEF\xBC\x81"));
  EXPECT_TRUE(texts.seen("\xE4\xBD\xA0\xE5\xA5\xBD\xEF\xBC\x8C\xE4\xB8\x96\xE7\x95\x8C"));  // other punctuation
}

TEST(NearDuplicates, the_agreement_estimates_what_is_common) {
  // A changed word changes five shingles: of 400 words, each 100th changed leaves 376 of 396 + 20 in common.
  const auto agreement = [](int change) {
    double sum = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      sum += NearDuplicates::agreement(NearDuplicates::signature_of(words(seed, 400)),
                                       NearDuplicates::signature_of(words(seed, 400, change)));
    }
    return sum / 20;
  };
  EXPECT_NEAR(agreement(100), 0.91, 0.03);
  EXPECT_NEAR(agreement(20), 0.61, 0.04);
  EXPECT_NEAR(agreement(5), 0.0, 0.01);
}

TEST(NearDuplicates, near_texts_are_dropped_and_others_kept) {
  NearDuplicates texts;
  int near_dropped = 0, far_dropped = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    EXPECT_FALSE(texts.seen(words(seed, 400)));
    near_dropped += texts.seen(words(seed, 400, 100));
    far_dropped += texts.seen(words(seed, 400, 20));
  }
  EXPECT_GE(near_dropped, 195);
  EXPECT_EQ(far_dropped, 0);
}

TEST(NearDuplicates, a_book_has_no_near_duplicates_among_its_paragraphs) {
  const std::string book = read_example_file("tests/golden/text/opticks.txt");
  ASSERT_GT(book.size(), 1000u);
  NearDuplicates texts;
  int paragraphs = 0;
  for (size_t at = 0; at < book.size();) {
    const size_t end = std::min(book.find("\n\n", at), book.size());
    if (end - at > 200) {
      EXPECT_FALSE(texts.seen(book.substr(at, end - at))) << book.substr(at, 80);
      ++paragraphs;
    }
    at = end + 2;
  }
  EXPECT_GT(paragraphs, 3);
}

}  // namespace
}  // namespace landfall
