#include "data/task.h"

#include <algorithm>

#include "base/env.h"
#include "base/json.h"
#include "data/source_rows.h"
#include "model/tokenizer/utf8.h"

namespace landfall {
namespace {

constexpr size_t kMaxChoices = 64;

Status refused(const std::string& why) { return Status(Code::invalid_argument, why); }

Result<std::string> filled_text(const Json& value, const std::string& what) {
  if (!value.is_string() || value.string().empty()) return refused(what + " is not a text, or is empty");
  return value.string();
}

Result<TaskItem> item_of(std::string_view row, uint64_t line) {
  if (find_invalid_utf8(row)) return refused("is not UTF-8");
  LANDFALL_ASSIGN(const Json json, parse_json(row));
  if (!json.is_object()) return refused("is not a JSON object");
  TaskItem out;
  out.id = std::to_string(line);
  if (json.find("id")) {
    LANDFALL_ASSIGN(out.id, filled_text(json["id"], "'id'"));
  }
  LANDFALL_ASSIGN(out.question, filled_text(json["question"], "'question'"));
  const Json* choices = json.find("choices");
  if (!choices) {
    LANDFALL_ASSIGN(out.answer, filled_text(json["answer"], "'answer' of an item without 'choices'"));
    if (out.answer.find_first_of("\r\n") != std::string::npos) return refused("'answer' has more than one line");
    return out;
  }
  const size_t count = choices->array().size();
  if (count < 2 || count > kMaxChoices) {
    return refused("'choices' has " + std::to_string(count) + " texts; 2 to " + std::to_string(kMaxChoices) +
                   " are possible");
  }
  for (size_t i = 0; i < count; ++i) {
    LANDFALL_ASSIGN(std::string choice, filled_text(choices->array()[i], "choice " + std::to_string(i)));
    out.choices.push_back(std::move(choice));
  }
  const int64_t correct = json["answer"].integer(-1);
  if (correct < 0 || correct >= static_cast<int64_t>(count)) {
    return refused("'answer' is not the place of a choice, 0 to " + std::to_string(count - 1));
  }
  out.correct = static_cast<size_t>(correct);
  out.answer = out.choices[out.correct];
  return out;
}

}  // namespace

double Task::chance() const {
  double sum = 0;
  for (const TaskItem& item : items) sum += item.choices.empty() ? 0 : 1.0 / static_cast<double>(item.choices.size());
  return items.empty() ? 0 : sum / static_cast<double>(items.size());
}

bool meets(std::string_view written, std::string_view answer) {
  constexpr std::string_view kSpace = " \t\r\n";
  written.remove_prefix(std::min(written.find_first_not_of(kSpace), written.size()));
  written = written.substr(0, written.find('\n'));
  written = written.substr(0, written.find_last_not_of(kSpace) + 1);
  if (written.ends_with('.') && !answer.ends_with('.')) written.remove_suffix(1);
  return written == answer;
}

Result<Task> parse_task(std::string_view path, std::string_view bytes) {
  Task out;
  out.name = file_name(path);
  if (const size_t dot = out.name.rfind('.'); dot != std::string::npos && dot > 0) out.name.resize(dot);
  SourceRows rows(bytes, SourceRows::Form::lines);
  SourceRow row;
  while (true) {
    LANDFALL_ASSIGN(const bool more, rows.next(row));
    if (!more) break;
    const std::string place = "'" + std::string(path) + "' line " + std::to_string(row.line);
    if (!row.fault.empty()) return Status(Code::invalid_argument, place + ": " + row.fault);
    auto item = item_of(row.bytes, row.line);
    if (!item.ok()) return Status(Code::invalid_argument, place + ": " + item.status().message());
    const bool multiple_choice = !item->choices.empty();
    if (!out.items.empty() && multiple_choice != out.multiple_choice) {
      return Status(Code::invalid_argument,
                    place +
                        ": is of another kind than the items before it; put multiple choice and exact answers into "
                        "files of their own");
    }
    out.multiple_choice = multiple_choice;
    out.items.push_back(std::move(*item));
  }
  if (out.items.empty()) return Status(Code::invalid_argument, "'" + std::string(path) + "' has no items");
  return out;
}

std::string task_row(const TaskItem& item) {
  Json out;
  out.set("id", item.id).set("question", item.question);
  if (item.choices.empty()) return out.set("answer", item.answer).dump();
  Json choices{Json::Array{}};
  for (const std::string& choice : item.choices) choices.push(choice);
  return out.set("choices", std::move(choices)).set("answer", item.correct).dump();
}

}  // namespace landfall
