#include "data/wordnet.h"

#include <gtest/gtest.h>

#include "base/testing.h"
#include "data/medical_part.h"

namespace landfall {
namespace {

// Lines in the form of WordNet 3.0's own.
const std::string kLicence = "  1 This software and database is being provided to you, the LICENSEE, by  \n";
const std::string kNouns =
    "00000100 03 n 01 entity 0 001 ~ 00000200 n 0000 | that which is perceived  \n"
    "00000200 26 n 02 ill_health 0 unhealthiness 0 001 @ 00000100 n 0000 | a state; in which you are unable to "
    "function  \n"
    "00000300 26 n 01 cold 0 001 @ 00000200 n 0000 | a mild viral infection; \"will they never find a cure for the "
    "common "
    "cold?\"  \n"
    "00000400 09 n 01 medical_science 0 000 | the science of health  \n"
    "00000500 09 n 01 Galen 0 001 @i 00000400 n 0000 | an instance  \n"
    "00000600 21 n 01 stock 0 000 | goods on hand; \"he said; \"no more\"\" - A. Author  \n";
const std::string kVerbs = "00000100 29 v 01 ail 0 001 ;c 00000400 n 0000 01 + 08 00 | be ill  \n";
const std::string kAdjectives =
    "00000100 00 a 01 galore(ip) 0 000 | in great numbers  \n00000200 00 s 01 blue-sky 0 001 & 00000100 a 0000 | |bar| "
    "inside  \n";
const std::string kAdverbs =
    "00000100 02 r 01 ill 0 001 ! 00000200 r 0101 | badly\n00000200 02 r 01 well 0 000 | good\n";

std::string folder_with(const std::string& nouns, const std::string& verbs = kVerbs) {
  static int count = 0;
  const std::string folder = temporary_path("wordnet" + std::to_string(++count));
  EXPECT_TRUE(Env::real().make_directories(folder).ok());
  for (const auto& [name, content] : {std::pair<const char*, std::string>{"data.noun", nouns},
                                      {"data.verb", verbs},
                                      {"data.adj", kAdjectives},
                                      {"data.adv", kAdverbs}}) {
    EXPECT_TRUE(write_file(Env::real(), join_path(folder, name), kLicence + content).ok());
  }
  return folder;
}

TEST(WordNet, SynsetsWithGlossAndPointers) {
  const auto wordnet = WordNet::read(Env::real(), folder_with(kNouns));
  ASSERT_TRUE(wordnet.ok()) << wordnet.status().message();
  const std::vector<Synset>& synsets = wordnet->synsets();
  ASSERT_EQ(synsets.size(), 11u);
  EXPECT_EQ(synsets[0].lemmas, std::vector<std::string>{"entity"});
  EXPECT_EQ(synsets[1].lemmas, (std::vector<std::string>{"ill health", "unhealthiness"}));
  EXPECT_EQ(synsets[1].definition, "a state; in which you are unable to function");
  EXPECT_EQ(synsets[1].lexicographer_file, 26);
  EXPECT_EQ(synsets[1].hypernyms, std::vector<uint32_t>{0});
  EXPECT_EQ(synsets[2].offset, 300u);
  EXPECT_EQ(synsets[2].definition, "a mild viral infection");
  EXPECT_EQ(synsets[2].examples, std::vector<std::string>{"will they never find a cure for the common cold?"});
  EXPECT_EQ(synsets[4].hypernyms, std::vector<uint32_t>{3});
  EXPECT_EQ(synsets[5].definition, "goods on hand");
  EXPECT_EQ(synsets[6].part, PartOfSpeech::verb);
  EXPECT_EQ(synsets[6].topics, std::vector<uint32_t>{3});
  EXPECT_EQ(synsets[7].lemmas, std::vector<std::string>{"galore"});
  EXPECT_EQ(synsets[8].part, PartOfSpeech::adjective);
  EXPECT_EQ(synsets[8].definition, "|bar| inside");
  EXPECT_EQ(synsets[9].part, PartOfSpeech::adverb);

  // Below ill health and medical science, and whose topic is such a one.
  EXPECT_EQ(medical_part(*wordnet),
            (std::vector<bool>{false, true, true, true, true, false, true, false, false, false, false}));
}

TEST(WordNet, WhatIsNotTheFormatIsRefusedWithItsLine) {
  for (const std::string line :
       {"0000030 26 n 01 cold 0 000 | a", "00000300 26 n 00 000 | a", "00000300 26 n 02 cold 0 000 | a",
        "00000300 26 n 01 cold 0 002 @ 00000100 n 0000 | a", "00000300 26 v 01 cold 0 000 | a",
        "00000300 26 n 01 cold 0 000", "00000300 26 n 01 cold x 000 | a", "00000300 26 n 01  0 000 | a", "x",
        "00000100 26 n 01 twice 0 000 | a"}) {
    const auto wordnet = WordNet::read(Env::real(), folder_with(kNouns + line + "\n"));
    EXPECT_EQ(wordnet.status().code(), Code::data_loss) << line;
    EXPECT_NE(wordnet.status().message().find("data.noun' line 8 "), std::string::npos) << wordnet.status().message();
  }
  const auto dangling =
      WordNet::read(Env::real(), folder_with(kNouns, "00000100 29 v 01 ail 0 001 @ 00000999 v 0000 | a\n"));
  EXPECT_EQ(dangling.status().code(), Code::data_loss);
  EXPECT_NE(dangling.status().message().find("'ail'"), std::string::npos);
}

TEST(WordNet, AMissingPackageIsNamedWithItsCommand) {
  const auto wordnet = WordNet::read(Env::real(), temporary_path("nowhere"));
  EXPECT_EQ(wordnet.status().code(), Code::failed_precondition);
  EXPECT_NE(wordnet.status().message().find("script/setup --for tide"), std::string::npos);
}

}  // namespace
}  // namespace landfall
