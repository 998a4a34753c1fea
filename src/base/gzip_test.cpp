#include "base/gzip.h"

#include <gtest/gtest.h>

namespace landfall {
namespace {

// Made with Python's zlib: a member of 27 bytes, and one of 8 with the extra field that dictzip writes.
const std::string kPlain(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x49\xcc\x4b\x49\x4b\xcc\xc9\x51\xc8\x41\x67\x70\x01\x00\x30\x6d\xb5"
    "\x95\x1b\x00\x00\x00",
    33);
const std::string kDictzip(
    "\x1f\x8b\x08\x04\x00\x00\x00\x00\x02\x03\x06\x00\x52\x41\x02\x00\x01\x00\xcb\x48\x2c\x4a\xca\x2f\x2d\xe2\x02\x00"
    "\x55\x14\x56\x22\x08\x00\x00\x00",
    36);

TEST(Gzip, AllMembersInOrder) {
  for (const auto& [packed, content] :
       {std::pair(kPlain, "landfall landfall landfall\n"), std::pair(kDictzip, "harbour\n"),
        std::pair(kPlain + kDictzip, "landfall landfall landfall\nharbour\n")}) {
    const auto out = gunzip(packed, 1000);
    ASSERT_TRUE(out.ok()) << out.status().message();
    EXPECT_EQ(*out, content);
  }
}

TEST(Gzip, EveryTruncationAndAFlippedByteAreDamage) {
  for (size_t length = 0; length < kPlain.size(); ++length) {
    EXPECT_EQ(gunzip(kPlain.substr(0, length), 1000).status().code(), Code::data_loss) << length;
  }
  std::string wrong = kPlain;
  wrong[wrong.size() - 6] ^= 1;  // of the checksum
  EXPECT_EQ(gunzip(wrong, 1000).status().code(), Code::data_loss);
  EXPECT_EQ(gunzip(kPlain + "rest", 1000).status().code(), Code::data_loss);
}

TEST(Gzip, TheLimitHolds) {
  EXPECT_TRUE(gunzip(kPlain, 27).ok());
  EXPECT_EQ(gunzip(kPlain, 26).status().code(), Code::resource_exhausted);
}

}  // namespace
}  // namespace landfall
