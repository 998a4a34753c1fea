// A hostile file of questions. What is read can be written and read again, and its answers are in bounds.
#include <cstddef>
#include <cstdint>

#include "data/contamination.h"
#include "data/task.h"

using namespace landfall;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto task = parse_task("t.jsonl", {reinterpret_cast<const char*>(data), size});
  if (!task.ok()) {
    LANDFALL_CHECK(!task.status().message().empty());
    return 0;
  }
  LANDFALL_CHECK(!task->items.empty() && task->chance() >= 0 && task->chance() <= 0.5);
  for (const TaskItem& item : task->items) {
    LANDFALL_CHECK(task->multiple_choice == !item.choices.empty());
    LANDFALL_CHECK(!task->multiple_choice || item.choices.at(item.correct) == item.answer);
    LANDFALL_CHECK(!telling_text(item, kNgram).empty());
    const auto again = parse_task("t.jsonl", task_row(item));
    LANDFALL_CHECK(again.ok(), again.status().message());
    LANDFALL_CHECK(task_row(again->items.front()) == task_row(item));
  }
  return 0;
}
