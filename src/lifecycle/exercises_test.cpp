#include "lifecycle/exercises.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <tuple>

#include "base/json.h"

namespace landfall {
namespace {

// "What is 37 + 45?" without the order of what may be swapped.
std::string problem_of(const Exercise& e) {
  int a = 0, b = 0;
  char sign[8] = "";
  EXPECT_EQ(std::sscanf(e.question.c_str(), "What is %d %7s %d?", &a, sign, &b), 3) << e.question;
  const std::string what = sign;
  const int result = what == "+" ? a + b : what == "-" ? a - b : a * b;
  EXPECT_EQ(e.answer, std::to_string(result)) << e.question;
  if (what != "-") std::tie(a, b) = std::pair(std::min(a, b), std::max(a, b));
  return std::to_string(a) + what + std::to_string(b);
}

TEST(Exercises, ArithmeticIsRightAndNoProblemServesBothSides) {
  const Exercises e = arithmetic_exercises(3, 500);
  ASSERT_EQ(e.held_out.size(), 500u);
  EXPECT_GT(e.training.size(), 10'000u);
  std::set<std::string> asked;
  for (const Exercise& exercise : e.held_out) asked.insert(problem_of(exercise));
  EXPECT_EQ(asked.size(), 500u);
  for (const Exercise& exercise : e.training) EXPECT_FALSE(asked.contains(problem_of(exercise))) << exercise.question;
  EXPECT_NE(arithmetic_exercises(4, 500).held_out[0].question, e.held_out[0].question);
}

TEST(Exercises, FormsAreFollowedAndNoWordServesBothSides) {
  std::vector<std::string> words;
  for (char a = 'a'; a <= 'z'; ++a) {
    for (char b = 'a'; b <= 'd'; ++b) words.push_back({'q', a, b, 'q'});
  }
  const Exercises e = format_exercises(words, 1, 200, 2000);
  ASSERT_EQ(e.held_out.size(), 200u);
  ASSERT_EQ(e.training.size(), 2000u);
  const auto words_of = [&](const std::vector<Exercise>& exercises) {
    std::set<std::string> out;
    for (const Exercise& x : exercises) {
      for (const std::string& word : words) {
        if (x.question.find(word) != std::string::npos) out.insert(word);
      }
    }
    return out;
  };
  const std::set<std::string> asked = words_of(e.held_out), learned = words_of(e.training);
  EXPECT_GT(asked.size(), 10u);
  EXPECT_GT(learned.size(), 50u);
  for (const std::string& word : asked) EXPECT_FALSE(learned.contains(word)) << word;
  std::set<std::string> kinds;
  for (const Exercise& x : e.held_out) {
    if (x.question.find("JSON") != std::string::npos) {
      const auto json = parse_json(x.answer);
      ASSERT_TRUE(json.ok()) << x.answer;
      EXPECT_TRUE(x.question.find((*json)["word"].string()) != std::string::npos);
      kinds.insert("json");
    } else if (x.question.find("alphabetical") != std::string::npos) {
      EXPECT_TRUE(x.answer.substr(0, 4) < x.answer.substr(6, 4) && x.answer.substr(6, 4) < x.answer.substr(12, 4))
          << x.answer;
      kinds.insert("order");
    }
  }
  EXPECT_EQ(kinds.size(), 2u);
}

}  // namespace
}  // namespace landfall
