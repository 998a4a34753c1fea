#include <algorithm>

#include "base/text.h"
#include "model/chat/jinja_call.h"
#include "model/tokenizer/utf8.h"

namespace landfall::jinja {
std::string capitalized(std::string_view text) {
  std::string out = ascii_lower(text);
  if (!out.empty()) out.replace(0, 1, ascii_upper(out.substr(0, 1)));
  return out;
}

std::string replaced(Interpreter& run, std::string_view text, std::string_view old, std::string_view by, int64_t most) {
  std::string out;
  size_t at = 0;
  int64_t done = 0;
  if (old.empty()) {  // between all characters and at both ends
    while (most < 0 || done < most) {
      out += by;
      ++done;
      if (at >= text.size()) return out;
      const size_t length = std::min(utf8_length(text[at]), text.size() - at);
      out += text.substr(at, length);
      at += length;
      run.charge_bytes(by.size());
    }
  } else {
    while (most < 0 || done < most) {
      const size_t found = text.find(old, at);
      if (found == std::string_view::npos) break;
      out += text.substr(at, found - at);
      out += by;
      at = found + old.size();
      ++done;
      run.charge_bytes(by.size());
    }
  }
  out += text.substr(at);
  return out;
}

Value dict_items(const Value& dict) {
  List out;
  for (const auto& [key, value] : dict.entries()) out.push_back(Value::tuple({key, value}));
  return Value::list(std::move(out));
}

namespace {

List split(std::string_view text, const std::string* separator, int64_t most, bool from_right) {
  List out;
  const auto full = [&] { return most >= 0 && static_cast<int64_t>(out.size()) >= most; };
  if (separator) {
    if (separator->empty()) fail("\"split\" needs a separator that is not empty");
    while (!full()) {
      const size_t at = from_right ? text.rfind(*separator) : text.find(*separator);
      if (at == std::string_view::npos) break;
      const size_t behind = at + separator->size();
      out.emplace_back(from_right ? text.substr(behind) : text.substr(0, at));
      text = from_right ? text.substr(0, at) : text.substr(behind);
    }
    out.emplace_back(text);
  } else {
    // White space at the end that is worked from goes at once, at the other end only with the last cut.
    while (!(text = strip(text, nullptr, !from_right, from_right)).empty()) {
      if (full()) break;
      // Cut at white space, of which there may be several bytes a character.
      size_t cut = std::string_view::npos;
      for (size_t at = 0; at < text.size();) {
        const Utf8Step step = utf8_step(text, at);
        if (is_python_space(step.code_point)) {
          cut = at;
          if (!from_right) break;
        }
        at += step.length;
      }
      if (cut == std::string_view::npos) break;
      const size_t behind = cut + utf8_length(text[cut]);
      out.emplace_back(from_right ? text.substr(behind) : text.substr(0, cut));
      text = from_right ? text.substr(0, cut) : text.substr(behind);
    }
    if (!text.empty()) out.emplace_back(text);
  }
  if (from_right) std::reverse(out.begin(), out.end());
  return out;
}

bool starts_or_ends(const Call& call, bool start) {
  const std::string& text = call.value.string();
  const Value* affix = call.get(0, start ? "prefix" : "suffix");
  if (!affix) fail("\"" + std::string(call.name) + "\" needs an argument");
  const auto fits = [&](const Value& part) {
    if (!part.is_string()) fail("\"" + std::string(call.name) + "\" needs a string, not " + part.type_name());
    return start ? text.starts_with(part.string()) : text.ends_with(part.string());
  };
  if (affix->is_tuple()) return std::any_of(affix->items().begin(), affix->items().end(), fits);
  return fits(*affix);
}

template <class Belongs>
Value all_characters(const Call& call, Belongs&& belongs) {
  const std::string& text = call.value.string();
  return !text.empty() && std::all_of(text.begin(), text.end(), belongs);
}

Value found_at(const Call& call, bool from_right) {
  const std::string& text = call.value.string();
  const std::string* part = call.optional_text(0, "sub");
  if (!part) fail("\"" + std::string(call.name) + "\" needs an argument");
  const size_t at = from_right ? text.rfind(*part) : text.find(*part);
  if (at == std::string::npos) return -1;
  return static_cast<int64_t>(code_points(std::string_view(text).substr(0, at)));
}

Value stripped(const Call& call, bool left, bool right) {
  return charged(call.run, std::string(strip(call.value.string(), call.optional_text(0, "chars"), left, right)));
}

Value split_method(const Call& call, bool from_right) {
  List parts = split(call.value.string(), call.optional_text(0, "sep"), call.integer(1, "maxsplit", -1), from_right);
  call.run.charge(parts.size());
  return Value::list(std::move(parts));
}

const std::vector<Named<Filter>>& string_methods() {
  static const std::vector<Named<Filter>> kMethods = {
      {"capitalize", {}, [](const Call& c) -> Value { return capitalized(c.value.string()); }},
      {"count",
       {"sub"},
       [](const Call& c) -> Value {
         const std::string* part = c.optional_text(0, "sub");
         if (!part) fail("\"count\" needs an argument");
         if (part->empty()) return static_cast<int64_t>(code_points(c.value.string())) + 1;
         int64_t count = 0;
         const std::string& text = c.value.string();
         for (size_t at = text.find(*part); at != std::string::npos; at = text.find(*part, at + part->size())) ++count;
         return count;
       }},
      {"endswith", {"suffix"}, [](const Call& c) -> Value { return starts_or_ends(c, false); }},
      {"find", {"sub"}, [](const Call& c) -> Value { return found_at(c, false); }},
      {"isalpha", {}, [](const Call& c) -> Value { return all_characters(c, is_ascii_letter); }},
      {"isdigit",
       {},
       [](const Call& c) -> Value { return all_characters(c, [](char b) { return b >= '0' && b <= '9'; }); }},
      {"isspace",
       {},
       [](const Call& c) -> Value {
         return !c.value.string().empty() && strip(c.value.string(), nullptr, true, false).empty();
       }},
      {"join",
       {"iterable"},
       [](const Call& c) -> Value {
         const Value* items = c.get(0, "iterable");
         if (!items) fail("\"join\" needs an argument");
         std::string out;
         bool first = true;
         for (const Value& item : c.run.iterate(*items)) {
           if (!item.is_string()) fail("\"join\" needs strings, not " + item.type_name());
           if (!first) out += c.value.string();
           first = false;
           out += item.string();
           c.run.charge_bytes(c.value.string().size());
         }
         return charged(c.run, std::move(out));
       }},
      {"lower", {}, [](const Call& c) -> Value { return ascii_lower(c.value.string()); }},
      {"lstrip", {"chars"}, [](const Call& c) -> Value { return stripped(c, true, false); }},
      {"removeprefix",
       {"prefix"},
       [](const Call& c) -> Value {
         return starts_or_ends(c, true) ? c.value.string().substr(c.get(0, "prefix")->string().size())
                                        : c.value.string();
       }},
      {"removesuffix",
       {"suffix"},
       [](const Call& c) -> Value {
         const std::string& text = c.value.string();
         return starts_or_ends(c, false) ? text.substr(0, text.size() - c.get(0, "suffix")->string().size()) : text;
       }},
      {"replace",
       {"old", "new", "count"},
       [](const Call& c) -> Value {
         const std::string *old = c.optional_text(0, "old"), *by = c.optional_text(1, "new");
         if (!old || !by) fail("\"replace\" needs two strings");
         return charged(c.run, replaced(c.run, c.value.string(), *old, *by, c.integer(2, "count", -1)));
       }},
      {"rfind", {"sub"}, [](const Call& c) -> Value { return found_at(c, true); }},
      {"rsplit", {"sep", "maxsplit"}, [](const Call& c) -> Value { return split_method(c, true); }},
      {"rstrip", {"chars"}, [](const Call& c) -> Value { return stripped(c, false, true); }},
      {"split", {"sep", "maxsplit"}, [](const Call& c) -> Value { return split_method(c, false); }},
      {"splitlines",
       {},
       [](const Call& c) -> Value {
         List out;
         for (const std::string_view line : split_lines(c.value.string())) out.emplace_back(line);
         c.run.charge(out.size());
         return Value::list(std::move(out));
       }},
      {"startswith", {"prefix"}, [](const Call& c) -> Value { return starts_or_ends(c, true); }},
      {"strip", {"chars"}, [](const Call& c) -> Value { return stripped(c, true, true); }},
      {"title",
       {},
       [](const Call& c) -> Value { return titled(c.value.string(), [](char b) { return !is_ascii_letter(b); }); }},
      {"upper", {}, [](const Call& c) -> Value { return ascii_upper(c.value.string()); }},
  };
  return kMethods;
}

Value unchangeable(const Call& call) {
  fail("\"" + std::string(call.name) + "\" would change a " + call.value.type_name() + ", which templates may not");
}

const std::vector<Named<Filter>>& list_methods() {
  static const std::vector<Named<Filter>> kMethods = {
      {"append", {"item"}, unchangeable},
      {"count",
       {"item"},
       [](const Call& c) -> Value {
         const Value* item = c.get(0, "item");
         return item ? static_cast<int64_t>(std::count(c.value.items().begin(), c.value.items().end(), *item)) : 0;
       }},
      {"extend", {"items"}, unchangeable},
      {"index",
       {"item"},
       [](const Call& c) -> Value {
         const List& items = c.value.items();
         const Value* item = c.get(0, "item");
         const auto found = item ? std::find(items.begin(), items.end(), *item) : items.end();
         if (found == items.end()) fail("the item is not in the list");
         return static_cast<int64_t>(found - items.begin());
       }},
      {"insert", {"at", "item"}, unchangeable},
      {"pop", {"at"}, unchangeable},
      {"remove", {"item"}, unchangeable},
  };
  return kMethods;
}

const std::vector<Named<Filter>>& dict_methods() {
  static const std::vector<Named<Filter>> kMethods = {
      {"get",
       {"key", "default"},
       [](const Call& c) -> Value {
         const Value* key = c.get(0, "key");
         if (!key) fail("\"get\" needs a key");
         c.run.charge(1 + c.value.entries().size() / 8);
         if (const Value* found = c.value.find(*key)) return *found;
         const Value* otherwise = c.get(1, "default");
         return otherwise ? *otherwise : Value();
       }},
      {"items", {}, [](const Call& c) -> Value { return dict_items(c.value); }},
      {"keys", {}, [](const Call& c) -> Value { return Value::list(c.run.iterate(c.value)); }},
      {"pop", {"key", "default"}, unchangeable},
      {"update", {"other"}, unchangeable},
      {"values",
       {},
       [](const Call& c) -> Value {
         List out;
         for (const auto& [key, value] : c.value.entries()) out.push_back(value);
         return Value::list(std::move(out));
       }},
  };
  return kMethods;
}

const std::vector<Named<Filter>>* methods_of(const Value& self) {
  if (self.is_string()) return &string_methods();
  if (self.is_list()) return &list_methods();
  return self.is_dict() ? &dict_methods() : nullptr;
}

}  // namespace

bool has_method(const Value& self, std::string_view name) {
  const auto* methods = methods_of(self);
  return methods && find_in(*methods, name);
}

Value call_method(Interpreter& run, const Value& self, std::string_view name, const Arguments& arguments) {
  const auto* method = find_in(*methods_of(self), name);
  arguments.expect(name, method->arguments);
  return method->function({run, name, self, arguments});
}

}  // namespace landfall::jinja
