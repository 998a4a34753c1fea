// Values of the template language. They behave as Python's do, because published templates were written against it.
// Everything but namespaces and loops is immutable; nesting is bounded so that walking a value cannot exhaust the
// stack. Used by one thread at a time. Faults are thrown as jinja::Error and caught in chat_template.cpp: nothing of
// this leaves the folder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace landfall::jinja {

struct Error {
  std::string message;
  Code code = Code::unsupported;
  int line = 0;  // 0: not known here
};
[[noreturn]] void fail(std::string message);

class Value;
using List = std::vector<Value>;
using Entries = std::vector<std::pair<Value, Value>>;  // of a dict, in order

struct ListObject;
struct DictObject;
struct Namespace;
struct Loop;
struct Callable;

class Value {
 public:
  struct Undefined {
    std::shared_ptr<const std::string> what;  // for the message when it is used
  };
  using String = std::shared_ptr<const std::string>;

  Value() = default;  // none
  Value(bool v) : v_(v) {}
  Value(int v) : v_(int64_t{v}) {}
  Value(int64_t v) : v_(v) {}
  Value(double v) : v_(v) {}
  Value(std::string v) : v_(std::make_shared<const std::string>(std::move(v))) {}
  Value(std::string_view v) : Value(std::string(v)) {}
  Value(const char* v) : Value(std::string(v)) {}
  Value(std::shared_ptr<Namespace> v) : v_(std::move(v)) {}
  Value(std::shared_ptr<Loop> v) : v_(std::move(v)) {}
  Value(std::shared_ptr<const Callable> v) : v_(std::move(v)) {}
  static Value undefined(std::string what);
  static Value list(List items);
  static Value tuple(List items);
  static Value dict(Entries entries);
  static Value from_json(const Json& json);

  bool is_undefined() const { return std::holds_alternative<Undefined>(v_); }
  bool is_none() const { return std::holds_alternative<std::monostate>(v_); }
  bool is_bool() const { return std::holds_alternative<bool>(v_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(v_); }  // not for booleans
  bool is_float() const { return std::holds_alternative<double>(v_); }
  bool is_number() const { return is_bool() || is_integer() || is_float(); }
  bool is_string() const { return std::holds_alternative<String>(v_); }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<const ListObject>>(v_); }  // tuples too
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<const DictObject>>(v_); }

  // Each requires its kind.
  bool boolean() const { return std::get<bool>(v_); }
  const std::string& string() const { return *std::get<String>(v_); }
  const List& items() const;
  bool is_tuple() const;
  const Entries& entries() const;
  const std::string& undefined_message() const { return *std::get<Undefined>(v_).what; }

  // null when it is not one
  Namespace* as_namespace() const;
  Loop* as_loop() const;
  const Callable* as_callable() const;

  double number() const;                // a number or a boolean
  bool as_integer(int64_t& out) const;  // an integer or a boolean
  bool truthy() const;
  const Value* find(std::string_view key) const;  // in a dict
  const Value* find(const Value& key) const;
  int depth() const;
  std::string type_name() const;  // as Python calls it

  std::string text() const;  // str()
  std::string repr() const;
  bool operator==(const Value& other) const;
  // Less than, or an error when the two cannot be ordered.
  bool less(const Value& other) const;

 private:
  void append_repr(std::string& out) const;

  std::variant<std::monostate, Undefined, bool, int64_t, double, String, std::shared_ptr<const ListObject>,
               std::shared_ptr<const DictObject>, std::shared_ptr<Namespace>, std::shared_ptr<Loop>,
               std::shared_ptr<const Callable>>
      v_;
};

struct ListObject {
  List items;
  bool tuple;
  int depth;
};

struct DictObject {
  Entries entries;
  int depth;
};

// {% set ns = namespace(...) %}: the one thing a template can change from within a loop.
struct Namespace {
  std::vector<std::pair<std::string, Value>> members;
};

struct Loop {
  List items;
  size_t index0 = 0;
  int depth = 0;  // nesting of the items, as of a list of them
};

struct Statement;
struct Scope;

// Something to call: a global function, a method of a value, or a macro.
struct Callable {
  enum Kind { function, method, macro } kind;
  std::string name;
  Value self;                         // of a method
  const Statement* body = nullptr;    // of a macro
  std::shared_ptr<Scope> scope = {};  // where the macro was defined
};

// Arguments of a call, a filter or a test.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  const Value* named_value(std::string_view name) const;
  // The argument at `position` or with `name`, or null.
  const Value* get(size_t position, std::string_view name) const;
  // An error when there are more positional or other named ones than `names` states.
  void expect(std::string_view callee, const std::vector<std::string_view>& names) const;
};

// JSON as Python's json.dumps(value, ensure_ascii=False, indent=indent) writes it; compact when indent < 0.
std::string to_json(const Value& value, int indent = -1, bool sort_keys = false);
std::string python_float(double v);

// Text as Python sees it: by code points.
bool is_python_space(char32_t c);
size_t code_points(std::string_view text);
// Strips characters of `set` (white space when null) from the chosen ends.
std::string_view strip(std::string_view text, const std::string* set, bool left, bool right);
std::vector<std::string_view> split_lines(std::string_view text);
std::string ascii_upper(std::string_view text);

}  // namespace landfall::jinja
