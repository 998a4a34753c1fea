// Examinations of tiny random models: what they know is nothing, and how probable they find a text is computed again
// here, from the logits of the whole text read at once.
#include "lifecycle/evaluation/examinee.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/counter_random.h"
#include "lifecycle/evaluation/statistics.h"
#include "model/testing.h"

namespace landfall {
namespace {

Examinee examinee_of(const std::string& variant, bool conversation = false) {
  EngineOptions options;
  options.threads = 2;
  auto out = Examinee::load(Env::real(), write_text_model(variant), options, conversation, nullptr);
  EXPECT_TRUE(out.ok()) << out.status().message();
  return std::move(*out);
}

TaskItem item_of(const std::vector<std::string>& choices, size_t correct) {
  return {.id = "1", .question = "Which harbour?", .answer = choices[correct], .choices = choices, .correct = correct};
}

class ExamineeTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Architectures, ExamineeTest, ::testing::Values("llama_llama3", "deepseek_v3"));

TEST_P(ExamineeTest, LogProbabilitiesAreThoseOfTheWholeTextReadAtOnce) {
  for (const bool conversation : {false, true}) {
    Examinee examinee = examinee_of(GetParam(), conversation);
    const TaskItem item = item_of({"a", "the long one with the lamp", "b c", "another"}, 2);
    const auto answer = examinee.answer(item);
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    ASSERT_EQ(answer->log_probabilities.size(), 4u);
    const std::string before =
        conversation ? "<|start|>user:Which harbour?<|end|><|start|>assistant:" : "Question: Which harbour?\nAnswer:";
    size_t best = 0, best_by_sum = 0;
    std::vector<double> sums;
    for (size_t c = 0; c < item.choices.size(); ++c) {
      const std::string choice = (conversation ? "" : " ") + item.choices[c];
      std::vector<int32_t> ids = examinee.tokenizer().encode_with_special(before + choice);
      const size_t begin = ids.size() - choice.size();  // a token for each byte
      Engine& engine = examinee.engine();
      const auto sequence = engine.open();
      ASSERT_TRUE(sequence.ok());
      const Engine::Work work{*sequence, ids, static_cast<int32_t>(ids.size())};
      const auto logits = engine.step({&work, 1});
      ASSERT_TRUE(logits.ok());
      long double sum = 0;
      for (size_t i = begin; i < ids.size(); ++i) {
        long double total = 0;
        const auto row = logits->row(static_cast<int64_t>(i) - 1);
        for (const float v : row) total += std::exp(static_cast<long double>(v));
        sum += row[static_cast<size_t>(ids[i])] - std::log(total);
      }
      engine.close(*sequence);
      EXPECT_NEAR(answer->log_probabilities[c], static_cast<double>(sum), 1e-9) << c;
      sums.push_back(static_cast<double>(sum));
      const auto by_byte = [&](size_t k) { return sums[k] / static_cast<double>(item.choices[k].size()); };
      if (by_byte(c) > by_byte(best)) best = c;
      if (sums[c] > sums[best_by_sum]) best_by_sum = c;
    }
    EXPECT_EQ(answer->right, best == item.correct);
    EXPECT_EQ(answer->right_by_sum, best_by_sum == item.correct);
    EXPECT_EQ(examinee.engine().free_pages(), examinee.engine().total_pages());
  }
}

TEST_P(ExamineeTest, ARandomModelGuesses) {
  Examinee examinee = examinee_of(GetParam());
  const CounterRandom random(7, 0);
  uint64_t counter = 0;
  Task task{.name = "noise", .multiple_choice = true};
  for (int i = 0; i < 200; ++i) {
    std::vector<std::string> choices(4);
    for (std::string& choice : choices) {
      const size_t letters = 4 + random.bits(counter++) % 12;
      for (size_t k = 0; k < letters; ++k) choice += static_cast<char>('a' + random.bits(counter++) % 26);
    }
    task.items.push_back(item_of(choices, random.bits(counter++) % 4));
  }
  const auto answers = answer_all(examinee, task, nullptr);
  ASSERT_TRUE(answers.ok()) << answers.status().message();
  int64_t right = 0;
  for (const ItemAnswer& answer : *answers) right += answer.right;
  const Interval interval = wilson_interval(right, 200);
  EXPECT_LE(interval.low, task.chance()) << right;
  EXPECT_GE(interval.high, task.chance()) << right;
}

// The most likely token each time, of the whole text so far read anew.
std::string greedy_text(Examinee& examinee, std::vector<int32_t> ids, size_t tokens) {
  const size_t question = ids.size();
  Engine& engine = examinee.engine();
  while (ids.size() < question + tokens) {
    const auto sequence = engine.open();
    const Engine::Work work{*sequence, ids};
    const auto logits = engine.step({&work, 1});
    EXPECT_TRUE(logits.ok());
    const auto row = logits->row(0);
    const auto token = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    engine.close(*sequence);
    if (token == examinee.tokenizer().eos()) break;
    ids.push_back(token);
    if (ids.size() > question + 1 && token == '\n') break;
  }
  return examinee.tokenizer().decode(std::span(ids).subspan(question));
}

TEST_P(ExamineeTest, WhatItWritesIsTheMostLikelyText) {
  for (const bool conversation : {false, true}) {
    Examinee examinee = examinee_of(GetParam(), conversation);
    const TaskItem item{.id = "1", .question = "Which harbour?", .answer = "harbour"};
    const auto answer = examinee.answer(item);
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    const auto question = examinee.question_tokens(item.question);
    ASSERT_TRUE(question.ok());
    // As many tokens as the right answer, with the space before it in plain text, and 16.
    EXPECT_EQ(answer->text, greedy_text(examinee, *question, (conversation ? 7 : 8) + 16));
    EXPECT_FALSE(answer->right);
  }
}

TEST(Examinee, WhatDoesNotFitIsAnErrorWithTheNumbers) {
  Examinee examinee = examinee_of("llama_llama3");
  TaskItem item = item_of({"a", "b"}, 0);
  item.question = std::string(600, 'x');
  const auto answer = examinee.answer(item);
  EXPECT_EQ(answer.status().code(), Code::invalid_argument);
  EXPECT_NE(answer.status().message().find("has 618 tokens"), std::string::npos) << answer.status().message();
  EXPECT_NE(answer.status().message().find("512 are possible"), std::string::npos) << answer.status().message();
}

TEST(Examinee, ManyChoicesAreReadInSeveralSteps) {
  Examinee examinee = examinee_of("llama_llama3");
  std::vector<std::string> choices;
  for (int i = 0; i < 40; ++i) choices.push_back("choice number " + std::to_string(i) + std::string(i, '.'));
  const auto together = examinee.answer(item_of(choices, 39));
  ASSERT_TRUE(together.ok()) << together.status().message();
  for (const size_t c : {size_t{0}, size_t{17}, size_t{39}}) {
    const auto alone = examinee.answer(item_of({choices[c], "other"}, 0));
    ASSERT_TRUE(alone.ok());
    EXPECT_EQ(alone->log_probabilities[0], together->log_probabilities[c]) << c;
  }
}

}  // namespace
}  // namespace landfall
