#include "data/dictionary.h"

#include <gtest/gtest.h>

namespace landfall {
namespace {

// As GCIDE and FOLDOC write them.
const char* const kText = R"(00-database-short
   The Collaborative International Dictionary of English v.0.48

Abdomen \Ab*do"men\ ([a^]b*d[=o]"m[e^]n), n. [L. abdomen (a word
   of uncertain etymol.): cf. F. abdomen.]
   1. (Anat.) The belly, or that part of the body between the
      thorax and the {pelvis}.
      [1913 Webster]

   2. (Zool.) The posterior section. --Bailey.
      [1913 Webster]

abducens \abducens\ n.
   1. a small motor nerve.

   Syn: abducent, abducent nerve
        [WordNet 1.5]

100BaseVG
100VG-AnyLAN

   <networking> A 100 {MBps} {Ethernet}
   standard (known as voice grade).

   (1998-06-30)

Caf[eacute] \x
)";

TEST(Dictionary, EntriesAsProse) {
  const std::vector<DictionaryEntry> entries = parse_dictionary(kText);
  ASSERT_EQ(entries.size(), 4u);
  EXPECT_EQ(entries[0].headword, "Abdomen");
  EXPECT_EQ(entries[0].text,
            "Abdomen, n. 1. (Anat.) The belly, or that part of the body between the thorax and the pelvis.\n"
            "2. (Zool.) The posterior section. --Bailey.");
  EXPECT_TRUE(entries[0].medical);
  EXPECT_FALSE(entries[0].wordnet);
  EXPECT_EQ(entries[1].headword, "abducens");
  EXPECT_TRUE(entries[1].wordnet);
  EXPECT_EQ(entries[2].text, "100BaseVG 100VG-AnyLAN\nA 100 MBps Ethernet standard (known as voice grade).");
  EXPECT_FALSE(entries[2].medical);
  EXPECT_FALSE(entries[2].wordnet);
}

TEST(Dictionary, UnclosedBracketsAndOtherBytesStay) {
  const auto entries = parse_dictionary("Word [open\n   and on (and on \xff.\n");
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].text, "Word [open and on (and on \xEF\xBF\xBD.");
  EXPECT_TRUE(parse_dictionary("").empty());
  EXPECT_TRUE(parse_dictionary("\n\n   \n").empty());
}

TEST(Dictionary, AMissingPackageIsNamedWithItsCommand) {
  const auto entries = read_dictionary(Env::real(), "/nowhere", "gcide");
  EXPECT_EQ(entries.status().code(), Code::failed_precondition);
  EXPECT_NE(entries.status().message().find("script/setup --for tide"), std::string::npos);
}

}  // namespace
}  // namespace landfall
