#include "base/digest.h"

#include <gtest/gtest.h>

namespace landfall {
namespace {

// FIPS 180-4's own examples.
TEST(Digest, of_the_published_examples) {
  Digest sha256, sha1(Digest::Kind::sha1);
  for (Digest* digest : {&sha256, &sha1}) {
    digest->update("a");
    digest->update("bc");
  }
  EXPECT_EQ(sha256.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha1.hex(), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(Digest().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

}  // namespace
}  // namespace landfall
