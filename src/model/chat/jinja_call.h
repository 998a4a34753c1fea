// What the tables of filters, tests, methods and functions share. Used within one run (jinja_interpreter.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "model/chat/jinja_builtins.h"

namespace landfall::jinja {

// One application of a filter, test or method, with its arguments by position or name.
struct Call {
  Interpreter& run;
  std::string_view name;
  const Value& value;
  const Arguments& arguments;

  const Value* get(size_t position, std::string_view key) const { return arguments.get(position, key); }
  bool flag(size_t position, std::string_view key, bool otherwise = false) const {
    const Value* given = get(position, key);
    return given ? given->truthy() : otherwise;
  }
  int64_t integer(size_t position, std::string_view key, int64_t otherwise) const {
    const Value* given = get(position, key);
    if (!given) return otherwise;
    int64_t out;
    if (!given->as_integer(out)) fail("\"" + std::string(name) + "\" needs an integer, not " + given->type_name());
    return out;
  }
  std::string text(size_t position, std::string_view key, std::string_view otherwise) const {
    const Value* given = get(position, key);
    return given ? given->text() : std::string(otherwise);
  }
  const std::string* optional_text(size_t position, std::string_view key) const {
    const Value* given = get(position, key);
    if (!given || given->is_none()) return nullptr;
    if (!given->is_string()) fail("\"" + std::string(name) + "\" needs a string, not " + given->type_name());
    return &given->string();
  }
};

// A row of a table: the name, its arguments in order, and what it does.
template <class Function>
struct Named {
  std::string_view name;
  std::vector<std::string_view> arguments;
  Function function;
};

template <class Table>
const typename Table::value_type* find_in(const Table& table, std::string_view name) {
  for (const auto& row : table) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

// A text as a value, paid for.
inline Value charged(Interpreter& run, std::string text) {
  run.charge_bytes(text.size());
  return Value(std::move(text));
}

using Filter = Value (*)(const Call&);

// Whether there is such a filter.
bool has_filter(std::string_view name);

inline bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Every word begins with a capital; `begins` says which characters a word follows.
template <class Begins>
std::string titled(std::string_view text, Begins&& begins) {
  std::string out = ascii_lower(text);
  bool start = true;
  for (char& c : out) {
    if (start && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    start = begins(c);
  }
  return out;
}

std::string capitalized(std::string_view text);
// `old` by `by`, at most `most` times unless that is negative; an empty `old` stands between all characters.
std::string replaced(Interpreter& run, std::string_view text, std::string_view old, std::string_view by, int64_t most);
// The pairs of a dict.
Value dict_items(const Value& dict);

}  // namespace landfall::jinja
