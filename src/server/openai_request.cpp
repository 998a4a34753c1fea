#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdio>

#include "server/openai.h"

namespace landfall {
namespace {

constexpr size_t kBodyLimit = size_t{16} << 20;
constexpr int kDepthLimit = 32;
constexpr size_t kValueLimit = 100'000;  // some 30,000 messages; 16 MB of "0," would take 600 MB while they are read
constexpr size_t kStopLimit = 16;
constexpr int64_t kCompletionTokens = 16;  // OpenAI's default for plain completions

std::string number_text(double v) {
  char text[40];
  std::snprintf(text, sizeof text, "%.10g", v);
  return text;
}

// A value of the client's in a message: short, and on one line.
std::string quoted(std::string_view text) {
  constexpr size_t kLongest = 60;
  return Json(text.size() > kLongest ? std::string(text.substr(0, kLongest)) + "..." : std::string(text)).dump();
}

std::string_view kind(const Json& v) {
  if (v.is_null()) return "null";
  if (v.is_bool()) return "a boolean";
  if (v.is_number()) return "a number";
  if (v.is_string()) return "a string";
  return v.is_array() ? "an array" : "an object";
}

// Reads members of one object by name. The first fault stays; what is read after it does not matter.
class Fields {
 public:
  // `path`: where the object stands, "" for the body itself.
  Fields(const Json& object, std::string path, std::optional<ApiError>& error)
      : object_(object), path_(std::move(path)), error_(error) {}

  std::string place(std::string_view name) const {
    return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  }

  void fail(std::string_view name, std::string problem, std::string code = "") {
    if (!error_) error_ = ApiError{400, place(name) + ": " + std::move(problem), place(name), std::move(code)};
  }
  void refuse(std::string_view name, std::string_view instead) {
    fail(name, "not supported" + std::string(instead.empty() ? "" : ", ") + std::string(instead), "unsupported_field");
  }

  // Null when absent or of another kind.
  const Json* get(std::string_view name) const {
    const Json* v = object_.find(name);
    return v && !v->is_null() ? v : nullptr;
  }

  std::optional<std::string> text(std::string_view name) {
    const Json* v = get(name);
    if (!v || !expect(name, v->is_string(), "a string", *v)) return std::nullopt;
    return v->string();
  }

  std::optional<bool> boolean(std::string_view name) {
    const Json* v = get(name);
    if (!v || !expect(name, v->is_bool(), "true or false", *v)) return std::nullopt;
    return v->boolean();
  }

  std::optional<double> number(std::string_view name, double low, double high) {
    const Json* v = get(name);
    if (!v || !expect(name, v->is_number(), "a number", *v)) return std::nullopt;
    const double value = v->number();
    if (value >= low && value <= high) return value;
    fail(name, number_text(value) + " is out of range; from " + number_text(low) + " to " + number_text(high) +
                   " is possible");
    return std::nullopt;
  }

  std::optional<int64_t> integer(std::string_view name, int64_t low, int64_t high) {
    const Json* v = get(name);
    if (!v || !expect(name, v->is_number(), "an integer", *v)) return std::nullopt;
    const bool whole = v->is_integer() || v->integer(INT64_MIN) != INT64_MIN;
    const int64_t value = v->integer();
    if (whole && value >= low && value <= high) return value;
    const std::string limit =
        high == INT64_MAX ? std::to_string(low) + " or more" : std::to_string(low) + " to " + std::to_string(high);
    fail(name, number_text(v->number()) + " is not an integer in range; " + limit + " is possible");
    return std::nullopt;
  }

  const Json* object(std::string_view name) {
    const Json* v = get(name);
    return v && expect(name, v->is_object(), "an object", *v) ? v : nullptr;
  }

  Fields inside(const Json& object, std::string_view name) const { return Fields(object, place(name), error_); }

 private:
  bool expect(std::string_view name, bool fits, std::string_view wanted, const Json& v) {
    if (!fits) fail(name, "must be " + std::string(wanted) + ", not " + std::string(kind(v)));
    return fits;
  }

  const Json& object_;
  std::string path_;
  std::optional<ApiError>& error_;
};

// ---- fields that would change the answer

// Whether a value asks for nothing.
bool is_empty(const Json& v) {
  return (v.is_array() && v.array().empty()) || (v.is_object() && v.object().empty()) ||
         (v.is_string() && v.string().empty()) || (v.is_bool() && !v.boolean());
}
bool is_at_most_one(const Json& v) { return v.is_integer() && (v.integer() == 0 || v.integer() == 1); }
bool is_off(const Json& v) { return is_empty(v) || (v.is_number() && v.number() <= 0); }
bool is_one(const Json& v) { return v.is_number() && v.number() == 1; }
bool is_text_format(const Json& v) { return v.is_object() && v["type"].string() == "text"; }
bool is_text_only(const Json& v) { return v.is_array() && v.array().size() == 1 && v.array()[0].string() == "text"; }
bool is_no_tool(const Json& v) { return v.string() == "none" || v.string() == "auto"; }
bool never(const Json&) { return false; }

struct Unsupported {
  std::string_view name;
  bool (*harmless)(const Json&);
  std::string_view instead = "";
};

constexpr Unsupported kUnsupported[] = {
    // OpenAI
    {"tools", is_empty},
    {"tool_choice", is_no_tool},
    {"functions", is_empty},
    {"function_call", is_no_tool},
    {"response_format", is_text_format, "only {\"type\": \"text\"} is"},
    {"n", is_one, "only 1 is; send the request again for another answer"},
    {"best_of", is_at_most_one, "only 1 is"},
    {"top_logprobs", is_off},
    {"logit_bias", is_empty},
    {"echo", is_empty},
    {"suffix", is_empty},
    {"modalities", is_text_only, "only [\"text\"] is"},
    {"audio", never},
    {"web_search_options", never},
    // other servers
    {"prompt_logprobs", is_empty},
    {"n_probs", is_off},
    {"min_tokens", is_off},
    {"ignore_eos", is_empty},
    {"stop_token_ids", is_empty},
    {"include_stop_str_in_output", is_empty},
    {"bad_words", is_empty},
    {"allowed_token_ids", is_empty},
    {"truncate_prompt_tokens", is_off, "because nothing is cut silently; shorten the prompt"},
    {"use_beam_search", is_empty},
    {"length_penalty", is_one},
    {"guided_json", is_empty},
    {"guided_regex", is_empty},
    {"guided_choice", is_empty},
    {"guided_grammar", is_empty},
    {"structured_outputs", is_empty},
    {"grammar", is_empty},
    {"json_schema", is_empty},
    {"regex", is_empty},
    {"ebnf", is_empty},
    {"chat_template", never},
    {"documents", is_empty},
    {"continue_final_message", is_empty},
    {"mirostat", is_off},
    {"typical_p", is_one},
    {"dynatemp_range", is_off},
    {"dry_multiplier", is_off},
    {"xtc_probability", is_off},
    {"top_n_sigma", is_off},
};

void refuse_unsupported(Fields& fields, bool chat) {
  for (const Unsupported& row : kUnsupported) {
    const Json* v = fields.get(row.name);
    if (v && !row.harmless(*v)) fields.refuse(row.name, row.instead);
  }
  // In a chat a boolean; in a plain completion a count, of which 0 asks for the chosen tokens' own.
  const Json* logprobs = fields.get("logprobs");
  if (logprobs && !(chat && logprobs->is_bool() && !logprobs->boolean())) fields.refuse("logprobs", "");
}

// ---- fields that are understood

void read_stop(Fields& fields, std::vector<std::string>& stop) {
  const Json* v = fields.get("stop");
  if (!v) return;
  const Json::Array one{*v};
  const Json::Array& list = v->is_array() ? v->array() : one;
  if (list.size() > kStopLimit) {
    return fields.fail("stop", std::to_string(list.size()) + " strings are too many; up to " +
                                   std::to_string(kStopLimit) + " are possible");
  }
  for (const Json& item : list) {
    if (!item.is_string())
      return fields.fail("stop", "must be a string or an array of strings, not with " + std::string(kind(item)));
    if (item.string().size() > 1024) return fields.fail("stop", "a string of over 1024 bytes is too long");
    if (!item.string().empty()) stop.push_back(item.string());
  }
}

void read_sampler(Fields& fields, OpenAiCall& call) {
  SamplerSettings& s = call.generate.sampler;
  const auto set = [&](float& field, std::string_view name, double low, double high, double otherwise) {
    field = static_cast<float>(fields.number(name, low, high).value_or(otherwise));
  };
  set(s.temperature, "temperature", 0, 2, 1);
  set(s.top_p, "top_p", 0, 1, 1);
  s.top_p = std::max(s.top_p, FLT_MIN);  // 0 keeps the most likely token, as every other tiny value does
  set(s.min_p, "min_p", 0, 1, 0);
  set(s.repetition_penalty, "repetition_penalty", 0.01, 10, 1);
  set(s.frequency_penalty, "frequency_penalty", -2, 2, 0);
  set(s.presence_penalty, "presence_penalty", -2, 2, 0);
  const int64_t top_k = fields.integer("top_k", -1, INT32_MAX).value_or(0);
  s.top_k = static_cast<int32_t>(std::max<int64_t>(top_k, 0));  // -1 means off elsewhere
  if (const auto seed = fields.integer("seed", INT64_MIN, INT64_MAX)) call.seed = static_cast<uint64_t>(*seed);
}

void read_max_tokens(Fields& fields, OpenAiCall& call) {
  const auto older = fields.integer("max_tokens", 1, INT64_MAX);
  const auto newer = fields.integer("max_completion_tokens", 1, INT64_MAX);
  if (older && newer && *older != *newer) {
    fields.fail("max_tokens", "differs from max_completion_tokens, which means the same; give one of them");
  }
  call.generate.max_tokens = newer ? newer : older;
  if (!call.chat && !call.generate.max_tokens) call.generate.max_tokens = kCompletionTokens;
}

// One switch under the names that clients know for it.
void read_thinking(Fields& fields, GenerateRequest& request) {
  std::string first;
  const auto choose = [&](const Fields& where, std::string_view name, bool on) {
    if (request.thinking && *request.thinking != on) fields.fail(first, "contradicts " + where.place(name));
    if (!request.thinking) first = where.place(name);
    request.thinking = on;
  };
  if (const Json* v = fields.object("chat_template_kwargs")) {
    Fields inner = fields.inside(*v, "chat_template_kwargs");
    for (const std::string_view name : {"thinking", "enable_thinking"}) {
      if (const auto on = inner.boolean(name)) choose(inner, name, *on);
    }
    for (const auto& [name, value] : v->object()) {
      if (name == "thinking" || name == "enable_thinking" || value.is_null()) continue;
      fields.fail("chat_template_kwargs", quoted(name) + " is not supported; only thinking and enable_thinking are",
                  "unsupported_field");
      break;
    }
  }
  if (const Json* v = fields.object("thinking")) {
    Fields inner = fields.inside(*v, "thinking");
    const std::string type = inner.text("type").value_or("");
    if (type == "enabled" || type == "disabled") {
      choose(inner, "type", type == "enabled");
    } else {
      inner.fail("type", "must be \"enabled\" or \"disabled\"");
    }
  }
  if (const auto effort = fields.text("reasoning_effort")) {
    if (*effort == "none") {
      choose(fields, "reasoning_effort", false);
    } else {
      fields.refuse("reasoning_effort", "only \"none\" is, which turns thinking off");
    }
  }
}

// "text", or [{"type": "text", "text": "..."}, ...], whose parts are put together line by line.
std::string read_content(Fields& message) {
  const Json* v = message.get("content");
  if (!v) {
    message.fail("content", "is missing; a string is needed");
    return "";
  }
  if (v->is_string()) return v->string();
  if (!v->is_array()) {
    message.fail("content", "must be a string or an array of text parts, not " + std::string(kind(*v)));
    return "";
  }
  std::string out;
  for (size_t i = 0; i < v->array().size(); ++i) {
    const Json& part = v->array()[i];
    Fields inner = message.inside(part, "content[" + std::to_string(i) + "]");
    if (!part.is_object()) {
      message.fail("content[" + std::to_string(i) + "]",
                   "must be an object such as {\"type\": \"text\", \"text\": \"...\"}");
      return "";
    }
    const auto type = inner.text("type");
    if (type && *type != "text")
      inner.fail("type", quoted(*type) + " is not supported; only \"text\" is", "unsupported_field");
    if (!type) inner.fail("type", "is missing; \"text\" is needed");
    const auto text = inner.text("text");
    if (!text) inner.fail("text", "is missing; a string is needed");
    if (!type || *type != "text" || !text) return "";
    if (i > 0) out += "\n";
    out += *text;
  }
  return out;
}

ChatMessage read_message(Fields message) {
  ChatMessage out;
  const auto role = message.text("role");
  if (!role) {
    message.fail("role", "is missing; system, user or assistant is needed");
    return out;
  }
  out.role = *role == "developer" ? "system" : *role;
  for (const std::string_view name : {"tool_calls", "function_call", "audio"}) {
    const Json* v = message.get(name);
    if (v && !is_empty(*v)) message.refuse(name, "");
  }
  if (const Json* prefix = message.get("prefix"); prefix && !is_empty(*prefix)) message.refuse("prefix", "");
  if (out.role == "tool" || out.role == "function") {
    message.fail("role", quoted(*role) + " is not supported; system, developer, user and assistant are",
                 "unsupported_field");
  } else if (out.role != "system" && out.role != "user" && out.role != "assistant") {
    message.fail("role", quoted(*role) + " is not known; system, developer, user and assistant are");
  }
  out.content = read_content(message);
  if (out.role == "assistant") out.reasoning = message.text("reasoning_content").value_or("");
  return out;
}

void read_messages(Fields& fields, GenerateRequest& request) {
  const Json* list = fields.get("messages");
  if (!list || !list->is_array() || list->array().empty()) {
    return fields.fail("messages", "must be an array with at least one message");
  }
  for (size_t i = 0; i < list->array().size(); ++i) {
    const std::string place = "messages[" + std::to_string(i) + "]";
    const Json& item = list->array()[i];
    if (!item.is_object())
      return fields.fail(place, "must be an object with role and content, not " + std::string(kind(item)));
    request.messages.push_back(read_message(fields.inside(item, place)));
  }
}

void read_prompt(Fields& fields, GenerateRequest& request) {
  const Json* v = fields.get("prompt");
  if (!v) return fields.fail("prompt", "is missing; a string is needed");
  const Json* text = v;
  if (v->is_array()) {
    if (v->array().empty()) return fields.fail("prompt", "is empty; a string is needed");
    text = &v->array()[0];
    if (text->is_number() || text->is_array()) return fields.refuse("prompt", "token ids are not, only text is");
    if (v->array().size() > 1) return fields.refuse("prompt", "only one prompt to a request is");
  }
  if (!text->is_string()) return fields.fail("prompt", "must be a string, not " + std::string(kind(*text)));
  request.prompt = text->string();
}

// Null with the error where the body is no JSON object.
Json read_body(std::string_view body, std::optional<ApiError>& error) {
  Result<Json> json = parse_json(body, {kBodyLimit, kDepthLimit, kValueLimit});
  if (!json.ok()) {
    error = ApiError{400, "the body is " + json.status().message(), "", "invalid_json"};
  } else if (!json->is_object()) {
    error = ApiError{400, "the body must be a JSON object, not " + std::string(kind(*json)), "", "invalid_json"};
  } else {
    return std::move(*json);
  }
  return {};
}

ParsedCall parse(std::string_view body, bool chat) {
  std::optional<ApiError> error;
  const Json json = read_body(body, error);
  if (error) return std::move(*error);
  Fields fields(json, "", error);
  OpenAiCall call;
  call.chat = chat;
  call.model = fields.text("model");
  if (chat) {
    read_messages(fields, call.generate);
    read_thinking(fields, call.generate);
  } else {
    read_prompt(fields, call.generate);
  }
  read_sampler(fields, call);
  read_max_tokens(fields, call);
  call.generate.priority = static_cast<int32_t>(fields.integer("priority", INT32_MIN, INT32_MAX).value_or(0));
  read_stop(fields, call.generate.stop);
  call.stream = fields.boolean("stream").value_or(false);
  if (const Json* options = fields.object("stream_options")) {
    call.include_usage = fields.inside(*options, "stream_options").boolean("include_usage").value_or(false);
  }
  refuse_unsupported(fields, chat);
  if (error) return std::move(*error);
  return call;
}

ParsedAdapterCall parse_adapter(std::string_view body, bool loads) {
  std::optional<ApiError> error;
  const Json json = read_body(body, error);
  if (error) return std::move(*error);
  Fields fields(json, "", error);
  AdapterCall call;
  const auto read = [&](std::string_view name) {
    const std::string text = fields.text(name).value_or("");
    if (text.empty()) fields.fail(name, "is missing; a string is needed");
    return text;
  };
  call.name = read("lora_name");
  if (loads) {
    call.folder = read("lora_path");
    call.replace = fields.boolean("load_inplace").value_or(false);
  }
  if (error) return std::move(*error);
  return call;
}

}  // namespace

ParsedAdapterCall parse_load_adapter(std::string_view body) { return parse_adapter(body, true); }
ParsedAdapterCall parse_unload_adapter(std::string_view body) { return parse_adapter(body, false); }
ParsedCall parse_chat_completion(std::string_view body) { return parse(body, true); }
ParsedCall parse_completion(std::string_view body) { return parse(body, false); }

}  // namespace landfall
