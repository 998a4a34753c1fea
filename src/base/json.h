// JSON values, read and written. A Json owns its whole tree; it is a plain value, safe to read from many threads.
// Objects keep the order of their keys. Accessors never throw: they return null, an empty value or the given default
// when the kind does not fit, so hostile input needs no special care. Source: RFC 8259.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace landfall {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;

  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool v) : value_(v) {}
  Json(int v) : value_(int64_t{v}) {}
  Json(unsigned v) : value_(int64_t{v}) {}
  Json(long v) : value_(int64_t{v}) {}
  Json(long long v) : value_(static_cast<int64_t>(v)) {}
  Json(unsigned long v) : value_(static_cast<int64_t>(v)) {}
  Json(unsigned long long v) : value_(static_cast<int64_t>(v)) {}
  Json(double v) : value_(v) {}
  Json(const char* v) : value_(std::string(v)) {}
  Json(std::string_view v) : value_(std::string(v)) {}
  Json(std::string v) : value_(std::move(v)) {}
  Json(Array v) : value_(std::move(v)) {}
  Json(Object v) : value_(std::move(v)) {}

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_integer() const { return std::holds_alternative<int64_t>(value_); }
  bool is_number() const { return is_integer() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  bool boolean(bool otherwise = false) const;
  int64_t integer(int64_t otherwise = 0) const;  // a number with a fraction is not an integer
  double number(double otherwise = 0) const;     // integers too
  const std::string& string() const;             // empty when not a string
  const Array& array() const;                    // empty when not an array
  const Object& object() const;                  // empty when not an object

  // The member with this key (the last one when a key stands twice), or a null Json.
  const Json& operator[](std::string_view key) const;
  const Json* find(std::string_view key) const;

  // Sets a member, making this an object first when it is null. Returns *this for chaining.
  Json& set(std::string_view key, Json value);
  // Appends, making this an array first when it is null.
  Json& push(Json value);

  // Compact when indent < 0. Text that is not UTF-8 is written with U+FFFD in place of each invalid part.
  std::string dump(int indent = -1) const;

  bool operator==(const Json& other) const = default;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

struct JsonLimits {
  size_t bytes = size_t{256} << 20;
  int depth = 64;
  // A value takes 40 bytes of memory, a member 72, and as little as two bytes of text. The largest published tokenizers
  // have some two million.
  size_t values = 4'000'000;
};

// Errors state line and column of the first fault, or the limit that was passed.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

}  // namespace landfall
