// What a model learns from, read from files that people made: text, conversations, preferences. One file after another
// is mapped and read row by row, so they may be larger than memory; of their content only the row at hand is kept.
//
//   .txt, .md                 documents (data/source_rows.h says where they end)
//   .jsonl, .ndjson, .json    JSON lines, or one JSON array, of rows of one of these shapes:
//     text         {"text"}
//     Alpaca       {"instruction", "input", "output"}, with or without "system"
//     ShareGPT     {"conversations": [{"from", "value"}]}, with or without "system"
//     OpenAI       {"messages": [{"role", "content"}]}, with or without "reasoning_content" in an answer
//     preference   {"chosen", "rejected"} with "prompt" or "messages": the answers are text, one message, or whole
//                  conversations that differ in their last message
// The first row of a known shape says which one its file has. Rows that cannot be used are quarantined: counted, with
// line and cause, and written to a file where one is named. More bad rows than good ones, or none, are an error: in
// each file of rows, and in all texts together where there are several. A reader is used by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "model/chat/chat_format.h"

namespace landfall {

struct Example {
  enum class Kind : uint8_t { text, chat, preference };
  Kind kind = Kind::text;
  std::string text;  // kind text
  // Chat: a conversation that ends with an answer. Preference: what was asked. What an answer writes in <think> tags
  // before its content stands in `reasoning`.
  std::vector<ChatMessage> messages;
  ChatMessage chosen, rejected;  // kind preference: answers
  size_t file = 0;               // of those that the reader was given
  uint64_t line = 0;             // where its row begins, from 1
};

enum class RowShape : uint8_t { documents, text, alpaca, sharegpt, openai, preference };
std::string_view name(RowShape shape);  // "Alpaca rows", ...
Example::Kind kind_of(RowShape shape);

struct BadRow {
  size_t file;  // as in Example
  uint64_t line;
  std::string cause;
};

struct ReadReport {
  RowShape shape = RowShape::documents;  // of the first file
  uint64_t rows = 0;                     // read so far, good and bad
  uint64_t bad = 0;                      // of them
  std::vector<BadRow> first_bad;         // at most kBadRowsShown
};
inline constexpr size_t kBadRowsShown = 20;

// How the names of quarantine files end.
inline constexpr std::string_view kRefusedEnding = ".refused.jsonl";

// The files that stand in `paths` themselves, and in place of each folder those of the kinds above that lie in it or in
// folders within it, by name. Passed over is what begins with a dot, and what training itself has written: folders of
// runs (with `checkpoints` in them) and quarantine files. A folder without any is an error.
Result<std::vector<std::string>> example_files(Env& env, const std::vector<std::string>& paths);

class ExampleReader {
 public:
  // `files`: one or more. `quarantine`: where bad rows go, one JSON object {"file", "line", "cause", "row"} a line;
  // made when the first one comes, and gone when there is none. Empty: nowhere.
  static Result<ExampleReader> open(Env& env, const std::vector<std::string>& files,
                                    const std::string& quarantine = "");
  ExampleReader(ExampleReader&&) noexcept;
  ExampleReader& operator=(ExampleReader&&) noexcept;
  ~ExampleReader();

  // The next good row; false at the end. Files are judged where they end.
  Result<bool> next(Example& out);
  // The row that next() gave last cannot be used after all.
  Status reject(const std::string& cause);

  const ReadReport& report() const;
  uint64_t bytes_read() const;
  uint64_t bytes() const;  // of all files

 private:
  struct Source;
  struct State;
  explicit ExampleReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace landfall
