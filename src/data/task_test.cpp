#include "data/task.h"

#include <gtest/gtest.h>

namespace landfall {
namespace {

TEST(Task, BothKindsAreReadAndWritten) {
  const auto choice = parse_task("a/b.jsonl", R"({"question": "What?", "choices": ["x", "yy", "z"], "answer": 1}

{"id": "q-7", "question": "Which?", "choices": ["u", "v"], "answer": 0, "more": null}
)");
  ASSERT_TRUE(choice.ok()) << choice.status().message();
  EXPECT_EQ(choice->name, "b");
  EXPECT_TRUE(choice->multiple_choice);
  ASSERT_EQ(choice->items.size(), 2u);
  EXPECT_EQ(choice->items[0].id, "1");
  EXPECT_EQ(choice->items[0].answer, "yy");
  EXPECT_EQ(choice->items[1].id, "q-7");
  EXPECT_DOUBLE_EQ(choice->chance(), (1.0 / 3 + 1.0 / 2) / 2);

  const auto exact = parse_task("sums.jsonl", R"({"question": "1 + 1?", "answer": "2"})");
  ASSERT_TRUE(exact.ok()) << exact.status().message();
  EXPECT_FALSE(exact->multiple_choice);
  EXPECT_EQ(exact->chance(), 0);
  for (const Task* task : {&*choice, &*exact}) {
    for (const TaskItem& item : task->items) {
      const auto again = parse_task("again.jsonl", task_row(item));
      ASSERT_TRUE(again.ok()) << again.status().message();
      EXPECT_EQ(task_row(again->items[0]), task_row(item));
    }
  }
}

TEST(Task, WhatMeetsAnAnswer) {
  for (const char* written : {"82", " 82", "\n\t82 \r\nand more", "82.", "82. \n"})
    EXPECT_TRUE(meets(written, "82")) << written;
  for (const char* written : {"", "\n", "8", "82..", "82 of them", "It is 82", "82,"})
    EXPECT_FALSE(meets(written, "82")) << written;
  EXPECT_TRUE(meets("Yes.", "Yes."));
  EXPECT_FALSE(meets("Yes", "Yes."));
  EXPECT_FALSE(meets("lamp", "LAMP"));
}

TEST(Task, AFaultStatesItsLine) {
  const std::string good = R"({"question": "q", "choices": ["a", "b"], "answer": 0})";
  for (const auto& [row, says] : {std::pair<std::string, std::string>{"{", "line 2"},
                                  {"[]", "not a JSON object"},
                                  {R"({"choices": ["a", "b"], "answer": 0})", "'question'"},
                                  {R"({"question": "", "choices": ["a", "b"], "answer": 0})", "'question'"},
                                  {R"({"question": "q", "choices": ["a"], "answer": 0})", "1 texts; 2 to 64"},
                                  {R"({"question": "q", "choices": ["a", 2], "answer": 0})", "choice 1"},
                                  {R"({"question": "q", "choices": ["a", "b"], "answer": 2})", "0 to 1"},
                                  {R"({"question": "q", "choices": ["a", "b"], "answer": "b"})", "0 to 1"},
                                  {R"({"question": "q", "choices": ["a", "b"]})", "0 to 1"},
                                  {R"({"question": "q", "answer": "b"})", "another kind"},
                                  {R"({"question": "q", "answer": "b\nc"})", "more than one line"},
                                  {R"({"question": "q", "answer": 7})", "'answer'"},
                                  {R"({"id": 7, "question": "q", "answer": "b"})", "'id'"},
                                  {"{\"question\": \"\xff\", \"answer\": \"b\"}", "UTF-8"}}) {
    const auto task = parse_task("t.jsonl", good + "\n" + row);
    ASSERT_EQ(task.status().code(), Code::invalid_argument) << row;
    EXPECT_NE(task.status().message().find("'t.jsonl' line 2: "), std::string::npos) << task.status().message();
    EXPECT_NE(task.status().message().find(says), std::string::npos) << task.status().message();
  }
  EXPECT_EQ(parse_task("t.jsonl", " \n").status().message(), "'t.jsonl' has no items");
}

}  // namespace
}  // namespace landfall
