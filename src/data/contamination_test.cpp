#include "data/contamination.h"

#include <gtest/gtest.h>

#include "base/testing.h"

namespace landfall {
namespace {

std::string written(const std::string& name, const std::string& content) {
  const std::string path = temporary_path(name);
  EXPECT_TRUE(write_file(Env::real(), path, content).ok());
  return path;
}

// Ten words, eleven, and an exercise of six with its answer.
Task meanings() {
  Task out{.name = "meanings", .multiple_choice = true};
  for (const char* answer : {"a cord that is drawn through the block of a sail",
                             "the part of a wharf at which boats of fishermen are moored",
                             "one two three four five six seven eight nine ten eleven"}) {
    out.items.push_back({.id = std::to_string(out.items.size()),
                         .question = "What does it mean?",
                         .answer = answer,
                         .choices = {"no", answer},
                         .correct = 1});
  }
  return out;
}
Task sums() { return {.name = "sums", .items = {{.id = "s", .question = "What is 37 + 45?", .answer = "82"}}}; }

std::vector<Contamination> report(const std::vector<std::string>& files, int64_t ngram = 8) {
  auto out = find_contamination(Env::real(), {meanings(), sums()}, files, ngram, nullptr);
  EXPECT_TRUE(out.ok()) << out.status().message();
  return *out;
}

TEST(Contamination, PlantedLeaksAreFoundAndNothingElse) {
  const std::string clean =
      "{\"text\": \"seven words that is drawn through the block\"}\n{\"text\": \"What does it mean? no\"}\n"
      "{\"text\": \"What is 37 + 45? Not 83.\"}\n";
  const auto none = report({written("clean.jsonl", clean)});
  ASSERT_EQ(none.size(), 2u);
  EXPECT_EQ(none[0].rows, 3u);
  EXPECT_TRUE(none[0].found.empty());
  EXPECT_TRUE(none[1].found.empty());

  // Words in a row across signs and case, and a whole exercise in a conversation.
  const auto leaked = report(
      {written("clean.jsonl", clean),
       written(
           "leaks.jsonl",
           R"({"messages": [{"role": "user", "content": "A wharf?"}, {"role": "assistant", "content": "Part of a WHARF, at which boats of... fishermen moor."}]}
{"messages": [{"role": "user", "content": "What is 37 + 45?"}, {"role": "assistant", "content": "82."}]}
)"),
       written(
           "book.txt",
           "Two lines.\nThree four five six seven eight nine ten eleven; two three four five six seven eight nine.")});
  ASSERT_EQ(leaked[0].found.size(), 2u);
  const Contamination::Item& worst = leaked[0].found[0];
  EXPECT_EQ(worst.index, 2u);
  EXPECT_EQ(worst.runs, 4);   // of eleven words
  EXPECT_EQ(worst.found, 3);  // two to nine, three to ten, four to eleven
  EXPECT_EQ(file_name(worst.file), "book.txt");
  const Contamination::Item& other = leaked[0].found[1];
  EXPECT_EQ(other.index, 1u);
  EXPECT_EQ(other.found, 2);  // nine words in a row
  EXPECT_EQ(file_name(other.file), "leaks.jsonl");
  EXPECT_EQ(other.line, 1u);
  ASSERT_EQ(leaked[1].found.size(), 1u);
  EXPECT_EQ(leaked[1].found[0].line, 2u);
}

TEST(Contamination, ShorterRunsFindMore) {
  const std::string file = written("seven.jsonl", "{\"text\": \"seven words that is drawn through the block\"}\n");
  EXPECT_TRUE(report({file}, 7)[0].found.empty());
  EXPECT_EQ(report({file}, 6)[0].found.size(), 1u);
}

TEST(Contamination, AFileThatIsNotThereIsAnError) {
  EXPECT_FALSE(find_contamination(Env::real(), {sums()}, {temporary_path("missing.jsonl")}, 8, nullptr).ok());
}

}  // namespace
}  // namespace landfall
