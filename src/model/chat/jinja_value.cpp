#include "model/chat/jinja_value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "model/tokenizer/utf8.h"

namespace landfall::jinja {
namespace {

constexpr int kMaxValueDepth = 100;

int checked_depth(int depth) {
  if (depth > kMaxValueDepth) fail("values are nested deeper than " + std::to_string(kMaxValueDepth) + " levels");
  return depth;
}

void append_quoted(std::string& out, std::string_view text) {
  const char quote = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  out.push_back(quote);
  for (const char c : text) {
    if (c == quote || c == '\\') {
      out.push_back('\\'), out.push_back(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      constexpr char kHex[] = "0123456789abcdef";
      out += {'\\', 'x', kHex[(c >> 4) & 15], kHex[c & 15]};
    } else {
      out.push_back(c);
    }
  }
  out.push_back(quote);
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          constexpr char kHex[] = "0123456789abcdef";
          out += {'\\', 'u', '0', '0', kHex[(c >> 4) & 15], kHex[c & 15]};
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

void append_json(std::string& out, const Value& value, int indent, int level, bool sort_keys) {
  const auto line = [&](int at) {
    if (indent >= 0) out.append("\n").append(static_cast<size_t>(indent) * at, ' ');
  };
  const std::string_view comma = indent >= 0 ? "," : ", ";
  if (value.is_none()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.boolean() ? "true" : "false";
  } else if (value.is_integer() || value.is_float()) {
    const std::string text = value.text();
    out += text == "inf" ? "Infinity" : text == "-inf" ? "-Infinity" : text == "nan" ? "NaN" : text;
  } else if (value.is_string()) {
    append_json_string(out, value.string());
  } else if (value.is_list()) {
    out.push_back('[');
    bool first = true;
    for (const Value& item : value.items()) {
      if (!first) out += comma;
      first = false;
      line(level + 1);
      append_json(out, item, indent, level + 1, sort_keys);
    }
    if (!first) line(level);
    out.push_back(']');
  } else if (value.is_dict()) {
    Entries entries = value.entries();
    if (sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto& a, const auto& b) { return a.first.less(b.first); });
    }
    out.push_back('{');
    bool first = true;
    for (const auto& [key, item] : entries) {
      if (!first) out += comma;
      first = false;
      line(level + 1);
      if (key.is_string()) {
        append_json_string(out, key.string());
      } else {
        std::string spelled;
        append_json(spelled, key, -1, 0, false);
        append_json_string(out, spelled);
      }
      out += ": ";
      append_json(out, item, indent, level + 1, sort_keys);
    }
    if (!first) line(level);
    out.push_back('}');
  } else {
    fail("cannot write a value of type " + value.type_name() + " as JSON");
  }
}

}  // namespace

void fail(std::string message) { throw Error{std::move(message)}; }

Value Value::undefined(std::string what) {
  Value out;
  out.v_ = Undefined{std::make_shared<const std::string>(std::move(what))};
  return out;
}

namespace {
int depth_of(const List& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return checked_depth(depth + 1);
}
}  // namespace

Value Value::list(List items) {
  Value out;
  const int depth = depth_of(items);
  out.v_ = std::make_shared<const ListObject>(ListObject{std::move(items), false, depth});
  return out;
}

Value Value::tuple(List items) {
  Value out;
  const int depth = depth_of(items);
  out.v_ = std::make_shared<const ListObject>(ListObject{std::move(items), true, depth});
  return out;
}

Value Value::dict(Entries entries) {
  int depth = 0;
  for (const auto& [key, item] : entries) depth = std::max({depth, key.depth(), item.depth()});
  depth = checked_depth(depth + 1);
  Value out;
  out.v_ = std::make_shared<const DictObject>(DictObject{std::move(entries), depth});
  return out;
}

Value Value::from_json(const Json& json) {
  if (json.is_bool()) return json.boolean();
  if (json.is_integer()) return json.integer();
  if (json.is_number()) return json.number();
  if (json.is_string()) return to_valid_utf8(json.string());
  if (json.is_array()) {
    List items;
    for (const Json& item : json.array()) items.push_back(from_json(item));
    return list(std::move(items));
  }
  if (json.is_object()) {
    Entries entries;
    for (const auto& [key, item] : json.object()) entries.emplace_back(to_valid_utf8(key), from_json(item));
    return dict(std::move(entries));
  }
  return {};
}

const List& Value::items() const { return std::get<std::shared_ptr<const ListObject>>(v_)->items; }
bool Value::is_tuple() const { return is_list() && std::get<std::shared_ptr<const ListObject>>(v_)->tuple; }
const Entries& Value::entries() const { return std::get<std::shared_ptr<const DictObject>>(v_)->entries; }

Namespace* Value::as_namespace() const {
  const auto* held = std::get_if<std::shared_ptr<Namespace>>(&v_);
  return held ? held->get() : nullptr;
}

Loop* Value::as_loop() const {
  const auto* held = std::get_if<std::shared_ptr<Loop>>(&v_);
  return held ? held->get() : nullptr;
}

const Callable* Value::as_callable() const {
  const auto* held = std::get_if<std::shared_ptr<const Callable>>(&v_);
  return held ? held->get() : nullptr;
}

double Value::number() const {
  if (is_bool()) return boolean() ? 1 : 0;
  if (is_integer()) return static_cast<double>(std::get<int64_t>(v_));
  return std::get<double>(v_);
}

bool Value::as_integer(int64_t& out) const {
  if (is_bool()) {
    out = boolean() ? 1 : 0;
  } else if (is_integer()) {
    out = std::get<int64_t>(v_);
  } else {
    return false;
  }
  return true;
}

bool Value::truthy() const {
  if (is_none() || is_undefined()) return false;
  if (is_number()) return number() != 0;
  if (is_string()) return !string().empty();
  if (is_list()) return !items().empty();
  if (is_dict()) return !entries().empty();
  return true;
}

const Value* Value::find(std::string_view key) const {
  for (const auto& [k, v] : entries()) {
    if (k.is_string() && k.string() == key) return &v;
  }
  return nullptr;
}

const Value* Value::find(const Value& key) const {
  for (const auto& [k, v] : entries()) {
    if (k == key) return &v;
  }
  return nullptr;
}

int Value::depth() const {
  if (const auto* list = std::get_if<std::shared_ptr<const ListObject>>(&v_)) return (*list)->depth;
  if (const auto* dict = std::get_if<std::shared_ptr<const DictObject>>(&v_)) return (*dict)->depth;
  if (const Loop* loop = as_loop()) return loop->depth;
  if (const Callable* callable = as_callable()) return checked_depth(callable->self.depth() + 1);
  return 0;
}

std::string Value::type_name() const {
  if (is_none()) return "NoneType";
  if (is_undefined()) return "Undefined";
  if (is_bool()) return "bool";
  if (is_integer()) return "int";
  if (is_float()) return "float";
  if (is_string()) return "str";
  if (is_list()) return is_tuple() ? "tuple" : "list";
  if (is_dict()) return "dict";
  if (as_namespace()) return "Namespace";
  return as_loop() ? "LoopContext" : "function";
}

std::string python_float(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v < 0 ? "-inf" : "inf";
  char buffer[64];
  const double size = std::abs(v);
  if (v == 0 || (size >= 1e-4 && size < 1e16)) {
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::fixed).ptr;
    std::string out(buffer, end);
    if (out.find('.') == std::string::npos) out += ".0";
    return out;
  }
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, v, std::chars_format::scientific).ptr;
  return std::string(buffer, end);
}

std::string Value::text() const {
  if (is_string()) return string();
  if (is_undefined()) return {};
  std::string out;
  append_repr(out);
  return out;
}

std::string Value::repr() const {
  std::string out;
  append_repr(out);
  return out;
}

void Value::append_repr(std::string& out) const {
  if (is_none()) {
    out += "None";
  } else if (is_undefined()) {
    out += "Undefined";
  } else if (is_bool()) {
    out += boolean() ? "True" : "False";
  } else if (is_integer()) {
    out += std::to_string(std::get<int64_t>(v_));
  } else if (is_float()) {
    out += python_float(std::get<double>(v_));
  } else if (is_string()) {
    append_quoted(out, string());
  } else if (is_list()) {
    out.push_back(is_tuple() ? '(' : '[');
    for (size_t i = 0; i < items().size(); ++i) {
      if (i) out += ", ";
      items()[i].append_repr(out);
    }
    if (is_tuple() && items().size() == 1) out.push_back(',');
    out.push_back(is_tuple() ? ')' : ']');
  } else if (is_dict()) {
    out.push_back('{');
    bool first = true;
    for (const auto& [key, item] : entries()) {
      if (!first) out += ", ";
      first = false;
      key.append_repr(out);
      out += ": ";
      item.append_repr(out);
    }
    out.push_back('}');
  } else {
    out.append("<").append(type_name()).append(">");
  }
}

bool Value::operator==(const Value& other) const {
  if (is_number() && other.is_number()) {
    int64_t a, b;
    return as_integer(a) && other.as_integer(b) ? a == b : number() == other.number();
  }
  if (is_string()) return other.is_string() && string() == other.string();
  if (is_none()) return other.is_none();
  if (is_undefined()) return other.is_undefined();
  if (is_list()) return other.is_list() && is_tuple() == other.is_tuple() && items() == other.items();
  if (is_dict()) {
    if (!other.is_dict() || entries().size() != other.entries().size()) return false;
    return std::all_of(entries().begin(), entries().end(), [&](const auto& entry) {
      const Value* found = other.find(entry.first);
      return found && *found == entry.second;
    });
  }
  return (as_namespace() && as_namespace() == other.as_namespace()) || (as_loop() && as_loop() == other.as_loop()) ||
         (as_callable() && as_callable() == other.as_callable());
}

bool Value::less(const Value& other) const {
  if (is_number() && other.is_number()) {
    int64_t a, b;
    return as_integer(a) && other.as_integer(b) ? a < b : number() < other.number();
  }
  if (is_string() && other.is_string()) return string() < other.string();  // UTF-8 sorts as code points do
  if (is_list() && other.is_list() && is_tuple() == other.is_tuple()) {
    const auto differ = std::mismatch(items().begin(), items().end(), other.items().begin(), other.items().end());
    if (differ.second == other.items().end()) return false;
    return differ.first == items().end() || differ.first->less(*differ.second);
  }
  if (is_undefined()) fail(undefined_message());
  if (other.is_undefined()) fail(other.undefined_message());
  fail("cannot order " + type_name() + " and " + other.type_name());
}

const Value* Arguments::named_value(std::string_view name) const {
  for (const auto& [key, value] : named) {
    if (key == name) return &value;
  }
  return nullptr;
}

const Value* Arguments::get(size_t position, std::string_view name) const {
  return position < positional.size() ? &positional[position] : named_value(name);
}

void Arguments::expect(std::string_view callee, const std::vector<std::string_view>& names) const {
  if (positional.size() > names.size()) {
    fail(std::string(callee) + " takes at most " + std::to_string(names.size()) + " arguments, " +
         std::to_string(positional.size()) + " are given");
  }
  for (const auto& [key, value] : named) {
    if (std::find(names.begin(), names.end(), key) == names.end()) {
      fail(std::string(callee) + " has no argument named \"" + key + "\"");
    }
  }
}

std::string to_json(const Value& value, int indent, bool sort_keys) {
  std::string out;
  append_json(out, value, indent, 0, sort_keys);
  return out;
}

bool is_python_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string_view strip(std::string_view text, const std::string* set, bool left, bool right) {
  const auto strips = [&](std::string_view character) {
    return set ? set->find(character) != std::string::npos : is_python_space(utf8_step(character, 0).code_point);
  };
  while (left && !text.empty()) {
    const size_t length = std::min(utf8_length(text[0]), text.size());
    if (!strips(text.substr(0, length))) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!strips(text.substr(at))) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    const char32_t c = step.code_point;
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    size_t next = at + step.length;
    if (ends) {
      out.push_back(text.substr(begin, at - begin));
      if (c == '\r' && next < text.size() && text[next] == '\n') ++next;
      begin = next;
    }
    at = next;
  }
  if (begin < text.size()) out.push_back(text.substr(begin));
  return out;
}

std::string ascii_upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return out;
}

}  // namespace landfall::jinja
