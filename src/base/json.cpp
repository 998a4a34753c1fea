#include "base/json.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace landfall {
namespace {

// Builds the tree from parser events. Depth is bounded here, before recursion elsewhere can run away, and so is the
// number of values, since a tree takes many times the memory of its text.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  Json root;
  std::string error;
  size_t error_position = 0;

  bool null() override { return add(Json()); }
  bool boolean(bool v) override { return add(Json(v)); }
  bool number_integer(number_integer_t v) override { return add(Json(static_cast<int64_t>(v))); }
  bool number_unsigned(number_unsigned_t v) override {
    if (v > static_cast<number_unsigned_t>(INT64_MAX)) return add(Json(static_cast<double>(v)));
    return add(Json(static_cast<int64_t>(v)));
  }
  bool number_float(number_float_t v, const string_t&) override { return add(Json(v)); }
  bool string(string_t& v) override { return add(Json(std::move(v))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(Json(Json::Object{})); }
  bool key(string_t& v) override {
    stack_.back().key = std::move(v);
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(Json(Json::Array{})); }
  bool end_array() override { return close(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    if (error.empty()) {
      error = e.what();
      // "[json.exception.parse_error.101] parse error at line 1, column 5: ..." -> from "parse error" on
      if (auto at = error.find("] "); at != std::string::npos) error.erase(0, at + 2);
      error_position = position;
    }
    return false;
  }

 private:
  struct Open {
    Json value;
    std::string key;  // of the member that is being read, for objects
  };

  bool count() {
    if (++values_ <= limits_.values) return true;
    error = "more than " + std::to_string(limits_.values) + " values";
    return false;
  }
  bool add(Json v) { return count() && put(std::move(v)); }
  bool put(Json v) {
    if (stack_.empty()) {
      root = std::move(v);
      return true;
    }
    Open& top = stack_.back();
    if (top.value.is_array()) {
      top.value.push(std::move(v));
    } else {
      const_cast<Json::Object&>(top.value.object()).emplace_back(std::move(top.key), std::move(v));
    }
    return true;
  }
  bool open(Json v) {
    if (static_cast<int>(stack_.size()) >= limits_.depth) {
      error = "nested deeper than " + std::to_string(limits_.depth) + " levels";
      return false;
    }
    if (!count()) return false;
    stack_.push_back({std::move(v), {}});
    return true;
  }
  bool close() {
    Json done = std::move(stack_.back().value);
    stack_.pop_back();
    return put(std::move(done));
  }

  const JsonLimits& limits_;
  size_t values_ = 0;
  std::vector<Open> stack_;
};

nlohmann::ordered_json convert(const Json& v) {
  if (v.is_bool()) return v.boolean();
  if (v.is_integer()) return v.integer();
  if (v.is_number()) return v.number();
  if (v.is_string()) return v.string();
  if (v.is_array()) {
    auto out = nlohmann::ordered_json::array();
    for (const Json& item : v.array()) out.push_back(convert(item));
    return out;
  }
  if (v.is_object()) {
    // As they stand: its own way to add a member compares the name with all before, and vocabularies are long.
    nlohmann::ordered_json::object_t members;
    for (const auto& [key, item] : v.object()) members.emplace_back(key, convert(item));
    return members;
  }
  return nullptr;
}

}  // namespace

bool Json::boolean(bool otherwise) const {
  const bool* v = std::get_if<bool>(&value_);
  return v ? *v : otherwise;
}

int64_t Json::integer(int64_t otherwise) const {
  if (const int64_t* v = std::get_if<int64_t>(&value_)) return *v;
  const double* d = std::get_if<double>(&value_);
  if (d && std::floor(*d) == *d && std::abs(*d) < 9e15) return static_cast<int64_t>(*d);
  return otherwise;
}

double Json::number(double otherwise) const {
  if (const int64_t* v = std::get_if<int64_t>(&value_)) return static_cast<double>(*v);
  const double* d = std::get_if<double>(&value_);
  return d ? *d : otherwise;
}

const std::string& Json::string() const {
  static const std::string kEmpty;
  const std::string* v = std::get_if<std::string>(&value_);
  return v ? *v : kEmpty;
}

const Json::Array& Json::array() const {
  static const Array kEmpty;
  const Array* v = std::get_if<Array>(&value_);
  return v ? *v : kEmpty;
}

const Json::Object& Json::object() const {
  static const Object kEmpty;
  const Object* v = std::get_if<Object>(&value_);
  return v ? *v : kEmpty;
}

const Json* Json::find(std::string_view key) const {
  const Object& members = object();
  for (auto it = members.rbegin(); it != members.rend(); ++it) {
    if (it->first == key) return &it->second;
  }
  return nullptr;
}

const Json& Json::operator[](std::string_view key) const {
  static const Json kNull;
  const Json* v = find(key);
  return v ? *v : kNull;
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object{};
  LANDFALL_CHECK(is_object());
  for (auto& [k, v] : std::get<Object>(value_)) {
    if (k == key) {
      v = std::move(value);
      return *this;
    }
  }
  std::get<Object>(value_).emplace_back(std::string(key), std::move(value));
  return *this;
}

Json& Json::push(Json value) {
  if (is_null()) value_ = Array{};
  LANDFALL_CHECK(is_array());
  std::get<Array>(value_).push_back(std::move(value));
  return *this;
}

std::string Json::dump(int indent) const {
  return convert(*this).dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return Status(Code::invalid_argument, "JSON of " + std::to_string(text.size()) + " bytes is over the limit of " +
                                              std::to_string(limits.bytes));
  }
  Builder builder(limits);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    return Status(Code::invalid_argument,
                  "not valid JSON: " + (builder.error.empty() ? std::string("unreadable value") : builder.error));
  }
  return std::move(builder.root);
}

}  // namespace landfall
