#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "model/chat/jinja_call.h"
#include "model/tokenizer/utf8.h"

namespace landfall::jinja {
namespace {

// "a.b.0" of an item; wherever a part is missing, `otherwise` stands for it if given.
Value path(Interpreter& run, Value value, const Value& where, const Value* otherwise = nullptr) {
  const auto step = [&](const Value& key) {
    value = run.item(value, key);
    if (otherwise && value.is_undefined()) value = *otherwise;
  };
  if (!where.is_string()) {
    step(where);
    return value;
  }
  const std::string& dotted = where.string();
  for (size_t at = 0; at <= dotted.size();) {
    const size_t dot = std::min(dotted.find('.', at), dotted.size());
    const std::string part = dotted.substr(at, dot - at);
    int64_t index = 0;
    const char* end = part.data() + part.size();
    const bool number = !part.empty() && std::from_chars(part.data(), end, index).ptr == end;
    step(number ? Value(index) : Value(part));
    at = dot + 1;
  }
  return value;
}

Arguments rest_of(const Arguments& arguments, size_t from) {
  Arguments out;
  for (size_t i = from; i < arguments.positional.size(); ++i) out.positional.push_back(arguments.positional[i]);
  out.named = arguments.named;
  return out;
}

// select, reject, selectattr, rejectattr
Value selected(const Call& call, bool keep, bool by_attribute) {
  const std::vector<Value>& given = call.arguments.positional;
  if (by_attribute && given.empty()) fail("\"" + std::string(call.name) + "\" needs the name of an attribute");
  const size_t test_at = by_attribute ? 1 : 0;
  List out;
  if (!call.value.truthy()) return Value::list({});  // none, too
  for (const Value& item : call.run.iterate(call.value)) {
    const Value subject = by_attribute ? path(call.run, item, given[0]) : item;
    bool holds = subject.truthy();
    if (given.size() > test_at) {
      holds = call_test(call.run, given[test_at].text(), subject, rest_of(call.arguments, test_at + 1));
    }
    if (holds == keep) out.push_back(item);
  }
  return Value::list(std::move(out));
}

Value mapped(const Call& call) {
  List out;
  const Value* attribute = call.arguments.named_value("attribute");
  if (!attribute && call.arguments.positional.empty()) fail("\"map\" needs a filter or an attribute");
  if (!call.value.truthy()) return Value::list({});
  for (const Value& item : call.run.iterate(call.value)) {
    if (attribute) {
      out.push_back(path(call.run, item, *attribute, call.arguments.named_value("default")));
    } else {
      out.push_back(call_filter(call.run, call.arguments.positional[0].text(), item, rest_of(call.arguments, 1)));
    }
  }
  return Value::list(std::move(out));
}

// What items are ordered by: an attribute, and letters without their case.
Value order_key(const Call& call, const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = attribute && !attribute->is_none() ? path(call.run, item, *attribute) : item;
  return key.is_string() && !case_sensitive ? Value(ascii_lower(key.string())) : key;
}

List sorted(const Call& call, const List& items, bool reverse, bool case_sensitive, const Value* attribute) {
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items) keyed.emplace_back(order_key(call, item, attribute, case_sensitive), item);
  size_t log = 1;
  while (items.size() >> log) ++log;
  call.run.charge(items.size() * log);
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? b.first.less(a.first) : a.first.less(b.first);
  });
  List out;
  for (auto& [key, item] : keyed) out.push_back(std::move(item));
  return out;
}

Value extreme(const Call& call, bool greatest) {
  const List items = call.run.iterate(call.value);
  if (items.empty()) return Value::undefined("the sequence is empty");
  const Value* attribute = call.get(1, "attribute");
  const bool case_sensitive = call.flag(0, "case_sensitive");
  size_t best = 0;
  Value best_key = order_key(call, items[0], attribute, case_sensitive);
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = order_key(call, items[i], attribute, case_sensitive);
    if (greatest ? best_key.less(key) : key.less(best_key)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return items[best];
}

int64_t parsed_integer(std::string_view text, int base, int64_t otherwise) {
  text = strip(text, nullptr, true, true);
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t out;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  if (error == std::errc() && !text.empty() && end == text.data() + text.size()) return out;
  return otherwise;
}

double parsed_float(std::string_view text, double otherwise) {
  text = strip(text, nullptr, true, true);
  if (text.starts_with('+')) text.remove_prefix(1);
  double out;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && !text.empty() && end == text.data() + text.size() ? out : otherwise;
}

Value to_integer(const Call& call) {
  const int64_t otherwise = call.integer(0, "default", 0);
  int64_t number;
  if (call.value.as_integer(number)) return number;
  if (call.value.is_float()) {
    const double v = call.value.number();
    return std::abs(v) < 9e18 ? static_cast<int64_t>(v) : otherwise;
  }
  if (!call.value.is_string()) return otherwise;
  const auto base = static_cast<int>(std::clamp<int64_t>(call.integer(1, "base", 10), 2, 36));
  const double fraction = parsed_float(call.value.string(), NAN);
  const bool in_range = std::abs(fraction) < 9e18;
  return parsed_integer(call.value.string(), base, base == 10 && in_range ? static_cast<int64_t>(fraction) : otherwise);
}

Value rounded(const Call& call) {
  if (!call.value.is_number()) fail("\"round\" needs a number, not " + call.value.type_name());
  const std::string method = call.text(1, "method", "common");
  const double scale =
      std::pow(10.0, static_cast<double>(std::clamp<int64_t>(call.integer(0, "precision", 0), -15, 15)));
  const double scaled = call.value.number() * scale;
  // "common" rounds half to even, as Python's round does.
  return (method == "ceil"    ? std::ceil(scaled)
          : method == "floor" ? std::floor(scaled)
                              : std::nearbyint(scaled)) /
         scale;
}

std::string indented(const Call& call) {
  const Value* width = call.get(0, "width");
  std::string margin(4, ' ');
  if (width && width->is_string()) {
    margin = width->string();
  } else if (width) {
    margin.assign(static_cast<size_t>(std::clamp<int64_t>(call.integer(0, "width", 4), 0, 1000)), ' ');
  }
  const std::string text = call.value.text() + "\n";
  const bool first = call.flag(1, "first"), blank = call.flag(2, "blank");
  std::string out;
  bool at_first = true;
  for (const std::string_view line : split_lines(text)) {
    if (!at_first) out.push_back('\n');
    if (at_first ? first : blank || !line.empty()) out += margin;
    at_first = false;
    out += line;
    call.run.charge_bytes(margin.size());
  }
  return out;
}

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

Value joined(const Call& call) {
  const std::string between = call.text(0, "d", "");
  const Value* attribute = call.get(1, "attribute");
  std::string out;
  bool first = true;
  for (const Value& item : call.run.iterate(call.value)) {
    if (!first) out += between;
    first = false;
    out += (attribute && !attribute->is_none() ? path(call.run, item, *attribute) : item).text();
    call.run.charge_bytes(between.size());
  }
  return charged(call.run, std::move(out));
}

Value reversed(const Call& call) {
  List items = call.run.iterate(call.value);
  std::reverse(items.begin(), items.end());
  if (!call.value.is_string()) return Value::list(std::move(items));
  std::string out;
  for (const Value& item : items) out += item.string();
  return out;
}

Value unique(const Call& call) {
  const Value* attribute = call.get(1, "attribute");
  const bool case_sensitive = call.flag(0, "case_sensitive");
  List keys, out;
  for (const Value& item : call.run.iterate(call.value)) {
    Value key = order_key(call, item, attribute, case_sensitive);
    call.run.charge(keys.size());
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    keys.push_back(std::move(key));
    out.push_back(item);
  }
  return Value::list(std::move(out));
}

Value summed(const Call& call) {
  const Value* attribute = call.get(0, "attribute");
  const Value* start = call.get(1, "start");
  int64_t whole = 0;
  double fraction = 0;
  bool exact = true;
  List items = call.run.iterate(call.value);
  if (start) items.insert(items.begin(), *start);
  for (size_t i = 0; i < items.size(); ++i) {
    const bool is_start = start && i == 0;
    const Value item =
        attribute && !attribute->is_none() && !is_start ? path(call.run, items[i], *attribute) : items[i];
    int64_t number;
    if (!item.is_number()) fail("\"sum\" needs numbers, not " + item.type_name());
    if (exact && item.as_integer(number) && !__builtin_add_overflow(whole, number, &whole)) {
      fraction += static_cast<double>(number);
    } else {
      exact = false;
      fraction += item.number();
    }
  }
  return exact ? Value(whole) : Value(fraction);
}

Value batched(const Call& call) {
  const int64_t count = call.integer(0, "linecount", 0);
  if (count < 1) fail("\"batch\" needs a count of at least 1");
  const Value* fill = call.get(1, "fill_with");
  List out, row;
  for (const Value& item : call.run.iterate(call.value)) {
    if (static_cast<int64_t>(row.size()) == count) out.push_back(Value::list(std::exchange(row, {})));
    row.push_back(item);
  }
  if (fill && !fill->is_none() && !row.empty()) {
    call.run.charge(static_cast<size_t>(count));
    row.resize(static_cast<size_t>(count), *fill);
  }
  if (!row.empty()) out.push_back(Value::list(std::move(row)));
  return Value::list(std::move(out));
}

Value length_of(const Call& call) {
  const Value& value = call.value;
  if (value.is_string()) return static_cast<int64_t>(code_points(value.string()));
  if (value.is_list()) return static_cast<int64_t>(value.items().size());
  if (value.is_dict()) return static_cast<int64_t>(value.entries().size());
  if (value.is_undefined()) return 0;
  fail("a value of type " + value.type_name() + " has no length");
}

// JSON with every character beyond ASCII as an escape.
std::string ascii_json(std::string_view json) {
  std::string out;
  const auto escape = [&](uint32_t unit) {
    constexpr char kHex[] = "0123456789abcdef";
    out += {'\\', 'u', kHex[unit >> 12], kHex[unit >> 8 & 15], kHex[unit >> 4 & 15], kHex[unit & 15]};
  };
  for (size_t at = 0; at < json.size();) {
    const Utf8Step step = utf8_step(json, at);
    const uint32_t c = step.code_point;
    if (c < 0x80) {
      out.push_back(static_cast<char>(c));
    } else if (c < 0x10000) {
      escape(c);
    } else {
      escape(0xD800 + ((c - 0x10000) >> 10));
      escape(0xDC00 + ((c - 0x10000) & 0x3FF));
    }
    at += step.length;
  }
  return out;
}

Value json_of(const Call& call) {
  const Value* indent = call.get(1, "indent");
  int64_t width = -1;
  if (indent && !indent->is_none()) width = std::clamp<int64_t>(call.integer(1, "indent", -1), 0, 64);
  std::string text = to_json(call.value, static_cast<int>(width), call.flag(3, "sort_keys"));
  return charged(call.run, call.flag(0, "ensure_ascii") ? ascii_json(text) : std::move(text));
}

const std::vector<Named<Filter>>& filters() {
  static const std::vector<Named<Filter>> kFilters = {
      {"abs",
       {},
       [](const Call& c) -> Value {
         int64_t n;
         if (c.value.as_integer(n)) return n == INT64_MIN ? Value(-static_cast<double>(n)) : Value(std::abs(n));
         if (!c.value.is_float()) fail("\"abs\" needs a number, not " + c.value.type_name());
         return std::abs(c.value.number());
       }},
      {"attr", {"name"}, [](const Call& c) -> Value { return c.run.attribute(c.value, c.text(0, "name", "")); }},
      {"batch", {"linecount", "fill_with"}, batched},
      {"capitalize", {}, [](const Call& c) -> Value { return charged(c.run, capitalized(c.value.text())); }},
      {"count", {}, length_of},
      {"default",
       {"default_value", "boolean"},
       [](const Call& c) -> Value {
         const bool use = c.value.is_undefined() || (c.flag(1, "boolean") && !c.value.truthy());
         const Value* given = c.get(0, "default_value");
         return !use ? c.value : given ? *given : Value("");
       }},
      {"dictsort",
       {"case_sensitive", "by", "reverse"},
       [](const Call& c) -> Value {
         if (!c.value.is_dict()) fail("\"dictsort\" needs a dict, not " + c.value.type_name());
         const Value by(c.text(1, "by", "key") == "value" ? 1 : 0);
         return Value::list(
             sorted(c, dict_items(c.value).items(), c.flag(2, "reverse"), c.flag(0, "case_sensitive"), &by));
       }},
      {"escape", {}, [](const Call& c) -> Value { return charged(c.run, html_escaped(c.value.text())); }},
      {"first",
       {},
       [](const Call& c) -> Value {
         const List items = c.run.iterate(c.value);
         return items.empty() ? Value::undefined("there is no first item") : items.front();
       }},
      {"float",
       {"default"},
       [](const Call& c) -> Value {
         const Value* given = c.get(0, "default");
         const double otherwise = given && given->is_number() ? given->number() : 0.0;
         if (c.value.is_number()) return c.value.number();
         return c.value.is_string() ? parsed_float(c.value.string(), otherwise) : otherwise;
       }},
      {"indent", {"width", "first", "blank"}, [](const Call& c) -> Value { return charged(c.run, indented(c)); }},
      {"int", {"default", "base"}, to_integer},
      {"items",
       {},
       [](const Call& c) -> Value {
         if (c.value.is_undefined()) return Value::list({});
         if (!c.value.is_dict()) fail("\"items\" needs a dict, not " + c.value.type_name());
         return dict_items(c.value);
       }},
      {"join", {"d", "attribute"}, joined},
      {"last",
       {},
       [](const Call& c) -> Value {
         const List items = c.run.iterate(c.value);
         return items.empty() ? Value::undefined("there is no last item") : items.back();
       }},
      {"length", {}, length_of},
      {"list", {}, [](const Call& c) -> Value { return Value::list(c.run.iterate(c.value)); }},
      {"lower", {}, [](const Call& c) -> Value { return charged(c.run, ascii_lower(c.value.text())); }},
      {"map", {}, mapped},
      {"max", {"case_sensitive", "attribute"}, [](const Call& c) -> Value { return extreme(c, true); }},
      {"min", {"case_sensitive", "attribute"}, [](const Call& c) -> Value { return extreme(c, false); }},
      {"reject", {}, [](const Call& c) -> Value { return selected(c, false, false); }},
      {"rejectattr", {}, [](const Call& c) -> Value { return selected(c, false, true); }},
      {"replace",
       {"old", "new", "count"},
       [](const Call& c) -> Value {
         const Value* count = c.get(2, "count");
         const int64_t most = count && !count->is_none() ? c.integer(2, "count", -1) : -1;
         return charged(c.run, replaced(c.run, c.value.text(), c.text(0, "old", ""), c.text(1, "new", ""), most));
       }},
      {"reverse", {}, reversed},
      {"round", {"precision", "method"}, rounded},
      {"safe", {}, [](const Call& c) -> Value { return c.value; }},
      {"select", {}, [](const Call& c) -> Value { return selected(c, true, false); }},
      {"selectattr", {}, [](const Call& c) -> Value { return selected(c, true, true); }},
      {"sort",
       {"reverse", "case_sensitive", "attribute"},
       [](const Call& c) -> Value {
         return Value::list(sorted(c, c.run.iterate(c.value), c.flag(0, "reverse"), c.flag(1, "case_sensitive"),
                                   c.get(2, "attribute")));
       }},
      {"string",
       {},
       [](const Call& c) -> Value { return c.value.is_string() ? c.value : charged(c.run, c.value.text()); }},
      {"sum", {"attribute", "start"}, summed},
      {"title",
       {},
       [](const Call& c) -> Value {
         const auto begins = [](char b) {
           return std::string_view("-({[< \t\n\r\f\v").find(b) != std::string_view::npos;
         };
         return charged(c.run, titled(c.value.text(), begins));
       }},
      {"tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, json_of},
      {"trim",
       {"chars"},
       [](const Call& c) -> Value {
         return charged(c.run, std::string(strip(c.value.text(), c.optional_text(0, "chars"), true, true)));
       }},
      {"unique", {"case_sensitive", "attribute"}, unique},
      {"upper", {}, [](const Call& c) -> Value { return charged(c.run, ascii_upper(c.value.text())); }},
  };
  return kFilters;
}

}  // namespace

bool has_filter(std::string_view name) { return find_in(filters(), name) != nullptr; }

Value call_filter(Interpreter& run, std::string_view name, const Value& value, const Arguments& arguments) {
  if (name == "d") name = "default";
  if (name == "e") name = "escape";
  const auto* filter = find_in(filters(), name);
  if (!filter) fail("the filter \"" + std::string(name.substr(0, 40)) + "\" is not known");
  const bool free =
      name == "map" || name == "select" || name == "reject" || name == "selectattr" || name == "rejectattr";
  if (!free) arguments.expect(name, filter->arguments);
  return filter->function({run, name, value, arguments});
}

}  // namespace landfall::jinja
