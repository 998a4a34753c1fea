// The items of an examination, and the one format in which they are kept: JSON lines, each one item,
//
//   {"question": text, "choices": [text, ...], "answer": index}    multiple choice: 2 to 64 choices, index from 0
//   {"question": text, "answer": text}                             an answer of one line that must be met exactly
//
// with "id": text beside them where items have names of their own; otherwise the line is the name. Other members are
// ignored. All items of a file are of one kind. Texts are UTF-8 and not empty.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace landfall {

struct TaskItem {
  std::string id;
  std::string question;
  std::string answer;                // the right one
  std::vector<std::string> choices;  // empty: not multiple choice
  size_t correct = 0;                // the place of the right one among them
};

struct Task {
  std::string name;  // of the file, without its ending
  bool multiple_choice = false;
  std::vector<TaskItem> items;

  // What guessing reaches on average: 0 to 1.
  double chance() const;
};

// Whether what was written meets an exact answer: its first line that is not blank does, without the space around it
// and without a full stop behind it, unless the right one has that too.
bool meets(std::string_view written, std::string_view answer);

// `path` gives the name and stands in errors, which state the line (invalid_argument). A file without an item is one.
Result<Task> parse_task(std::string_view path, std::string_view bytes);

// One line of the format, without its end.
std::string task_row(const TaskItem& item);

}  // namespace landfall
