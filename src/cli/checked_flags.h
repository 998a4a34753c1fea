// Values of flags, checked: what is out of bounds or not among the choices is an error (invalid_argument) that says
// what is possible.
#pragma once

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "cli/arguments.h"

namespace landfall {

// A whole number from a flag, within bounds.
inline Result<int64_t> integer(const Arguments& a, std::string_view flag, int64_t otherwise, int64_t least,
                               int64_t most) {
  const int64_t value = a.integer(flag, otherwise);
  if (value >= least && value <= most) return value;
  return Status(Code::invalid_argument, "--" + std::string(flag) + " is " + std::to_string(value) + "; " +
                                            std::to_string(least) + " to " + std::to_string(most) + " is possible");
}

inline Result<double> number(const Arguments& a, std::string_view flag, double otherwise, double least, double most) {
  const double value = a.number(flag, otherwise);
  if (value >= least && value <= most) return value;
  char text[128];
  std::snprintf(text, sizeof text, " is %g; %g to %g is possible", value, least, most);
  return Status(Code::invalid_argument, "--" + std::string(flag) + text);
}

// A flag that says nothing without another one.
inline Status only_beside(const Arguments& a, std::string_view flag, std::string_view other) {
  if (!a.has(flag) || a.has(other)) return {};
  return Status(Code::invalid_argument, "--" + std::string(flag) + " has no use without --" + std::string(other) +
                                            "; give that too, or neither");
}

template <class Value>
Result<Value> choice(const Arguments& a, std::string_view flag, std::string_view otherwise,
                     std::initializer_list<std::pair<std::string_view, Value>> values) {
  const std::string given = a.text(flag, std::string(otherwise));
  std::string names;
  for (const auto& [name, value] : values) {
    if (name == given) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return Status(Code::invalid_argument,
                "--" + std::string(flag) + " " + given + " is not possible; give one of: " + names);
}

}  // namespace landfall
