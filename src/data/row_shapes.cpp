#include "data/row_shapes.h"

#include <algorithm>

#include "base/text.h"

namespace landfall {
namespace {

// Conversations are rendered once for each answer, so their number of messages is bounded.
constexpr size_t kMaxMessages = 1024;

Status bad(std::string cause) { return Status(Code::invalid_argument, std::move(cause)); }

std::string kind_of(const Json& value) {
  if (value.is_null()) return "missing or null";
  if (value.is_bool()) return "true or false";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "text";
  return value.is_array() ? "a list" : "an object";
}

Result<std::string> text_of(const Json& value, const std::string& what) {
  if (!value.is_string()) return bad(what + " is " + kind_of(value) + ", not text");
  if (is_blank(value.string())) return bad(what + " is empty");
  return value.string();
}

// Empty where the field is missing or null.
Result<std::string> optional_text(const Json& value, const std::string& what) {
  if (value.is_null()) return std::string();
  if (!value.is_string()) return bad(what + " is " + kind_of(value) + ", not text");
  return value.string();
}

// Published rows write thinking into the content; templates want it apart.
void separate_thinking(ChatMessage& message) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  const std::string_view content = trimmed(message.content);
  if (message.role != "assistant" || !message.reasoning.empty() || !content.starts_with(kOpen)) return;
  const size_t close = content.find(kClose);
  if (close == std::string_view::npos) return;
  std::string reasoning(trimmed(content.substr(kOpen.size(), close - kOpen.size())));
  std::string answer(trimmed(content.substr(close + kClose.size())));
  if (answer.empty()) return;
  message.reasoning = std::move(reasoning);
  message.content = std::move(answer);
}

ChatMessage answer_of(std::string content) {
  ChatMessage out{"assistant", std::move(content), ""};
  separate_thinking(out);
  return out;
}

std::optional<std::string> known_role(std::string_view role) {
  for (const auto& [name, meaning] :
       {std::pair{"system", "system"}, std::pair{"developer", "system"}, std::pair{"user", "user"},
        std::pair{"human", "user"}, std::pair{"assistant", "assistant"}, std::pair{"gpt", "assistant"}}) {
    if (role == name) return meaning;
  }
  return std::nullopt;
}

// Text, or a list of {"type": "text", "text"}.
Result<std::string> content_of(const Json& value, const std::string& what) {
  if (!value.is_array()) return text_of(value, what);
  std::string out;
  for (const Json& part : value.array()) {
    if (part["type"].string() != "text") return bad(what + " has a part of type \"" + part["type"].string() + "\"");
    LANDFALL_ASSIGN(const std::string text, text_of(part["text"], what));
    out += text;
  }
  if (is_blank(out)) return bad(what + " is empty");
  return out;
}

Result<ChatMessage> message_of(const Json& entry, const std::string& what) {
  if (!entry.is_object()) return bad(what + " is " + kind_of(entry) + ", not an object");
  const bool sharegpt = entry.find("from");
  const std::string& role = entry[sharegpt ? "from" : "role"].string();
  const std::optional<std::string> known = known_role(role);
  if (!known) return bad(what + " has the role \"" + role.substr(0, 40) + "\"; known are system, user and assistant");
  if (!entry["tool_calls"].is_null()) return bad(what + " calls tools, which training does not read");
  ChatMessage out{*known, "", ""};
  LANDFALL_ASSIGN(out.content, content_of(entry[sharegpt ? "value" : "content"], what + " (" + *known + ")"));
  LANDFALL_ASSIGN(out.reasoning, optional_text(entry["reasoning_content"], what + "'s \"reasoning_content\""));
  separate_thinking(out);
  return out;
}

Result<std::vector<ChatMessage>> messages_of(const Json& list, const std::string& what) {
  if (!list.is_array()) return bad(what + " is " + kind_of(list) + ", not a list");
  if (list.array().size() > kMaxMessages) {
    return bad(what + " has " + std::to_string(list.array().size()) + " messages; at most " +
               std::to_string(kMaxMessages) + " are read");
  }
  std::vector<ChatMessage> out;
  for (size_t i = 0; i < list.array().size(); ++i) {
    LANDFALL_ASSIGN(out.emplace_back(), message_of(list.array()[i], "message " + std::to_string(i + 1)));
  }
  if (out.empty()) return bad(what + " is empty");
  return out;
}

// A conversation with the system's text before it, up to its last answer: what follows teaches nothing.
Result<Example> conversation(std::vector<ChatMessage> messages, const Json& system) {
  LANDFALL_ASSIGN(std::string text, optional_text(system, "\"system\""));
  if (!is_blank(text)) messages.insert(messages.begin(), {"system", std::move(text), ""});
  while (!messages.empty() && messages.back().role != "assistant") messages.pop_back();
  if (messages.empty()) return bad("there is no assistant's answer to learn from");
  Example out;
  out.kind = Example::Kind::chat;
  out.messages = std::move(messages);
  return out;
}

Result<Example> alpaca(const Json& row) {
  LANDFALL_ASSIGN(std::string asked, text_of(row["instruction"], "\"instruction\""));
  LANDFALL_ASSIGN(const std::string input, optional_text(row["input"], "\"input\""));
  LANDFALL_ASSIGN(std::string answer, text_of(row["output"], "\"output\""));
  if (!row["history"].array().empty()) return bad("\"history\" is not read; write the row as messages");
  if (!is_blank(input)) asked += "\n\n" + input;
  return conversation({{"user", std::move(asked), ""}, answer_of(std::move(answer))}, row["system"]);
}

bool equal(const ChatMessage& a, const ChatMessage& b) { return a.role == b.role && a.content == b.content; }

// An answer, and what was asked where a whole conversation stands in its place.
struct Side {
  std::vector<ChatMessage> asked;
  ChatMessage answer;
};

Result<Side> side_of(const Json& value, const std::string& what) {
  Side out;
  if (value.is_string()) {
    LANDFALL_ASSIGN(std::string text, text_of(value, what));
    out.answer = answer_of(std::move(text));
    return out;
  }
  if (value.is_object()) {
    LANDFALL_ASSIGN(out.answer, message_of(value, what));
  } else {
    LANDFALL_ASSIGN(out.asked, messages_of(value, what));
    out.answer = std::move(out.asked.back());
    out.asked.pop_back();
  }
  if (out.answer.role != "assistant") return bad(what + " ends with a message of " + out.answer.role);
  return out;
}

Result<Example> preference(const Json& row) {
  LANDFALL_ASSIGN(Side chosen, side_of(row["chosen"], "\"chosen\""));
  LANDFALL_ASSIGN(Side rejected, side_of(row["rejected"], "\"rejected\""));
  if (!std::equal(chosen.asked.begin(), chosen.asked.end(), rejected.asked.begin(), rejected.asked.end(), equal))
    return bad("\"chosen\" and \"rejected\" differ before their last message");
  if (equal(chosen.answer, rejected.answer) && chosen.answer.reasoning == rejected.answer.reasoning)
    return bad("\"chosen\" and \"rejected\" are the same answer");
  Example out;
  out.kind = Example::Kind::preference;
  if (!chosen.asked.empty()) {
    out.messages = std::move(chosen.asked);
  } else if (row["prompt"].is_string()) {
    LANDFALL_ASSIGN(std::string prompt, text_of(row["prompt"], "\"prompt\""));
    LANDFALL_ASSIGN(std::string system, optional_text(row["system"], "\"system\""));
    if (!is_blank(system)) out.messages.push_back({"system", std::move(system), ""});
    out.messages.push_back({"user", std::move(prompt), ""});
  } else {
    for (const std::string key : {"prompt", "messages", "conversations"}) {
      if (row[key].is_null()) continue;
      LANDFALL_ASSIGN(out.messages, messages_of(row[key], "\"" + key + "\""));
      break;
    }
    if (out.messages.empty()) return bad("there is no \"prompt\" before the answers");
  }
  out.chosen = std::move(chosen.answer);
  out.rejected = std::move(rejected.answer);
  return out;
}

}  // namespace

std::string_view name(RowShape shape) {
  switch (shape) {
    case RowShape::documents:
      return "documents";
    case RowShape::text:
      return "rows of text";
    case RowShape::alpaca:
      return "Alpaca rows";
    case RowShape::sharegpt:
      return "ShareGPT rows";
    case RowShape::openai:
      return "OpenAI chat rows";
    case RowShape::preference:
      break;
  }
  return "preference rows";
}

Example::Kind kind_of(RowShape shape) {
  if (shape == RowShape::preference) return Example::Kind::preference;
  return shape == RowShape::documents || shape == RowShape::text ? Example::Kind::text : Example::Kind::chat;
}

std::optional<RowShape> shape_of(const Json& row) {
  if (row.find("chosen") && row.find("rejected")) return RowShape::preference;
  if (row.find("messages")) return RowShape::openai;
  if (row.find("conversations")) return RowShape::sharegpt;
  if (row.find("instruction") && row.find("output")) return RowShape::alpaca;
  if (row.find("text")) return RowShape::text;
  return std::nullopt;
}

Result<Example> example_of(RowShape shape, const Json& row) {
  switch (shape) {
    case RowShape::documents:
    case RowShape::text: {
      Example out;
      LANDFALL_ASSIGN(out.text, text_of(row["text"], "\"text\""));
      return out;
    }
    case RowShape::alpaca:
      return alpaca(row);
    case RowShape::sharegpt:
    case RowShape::openai: {
      const std::string key = shape == RowShape::openai ? "messages" : "conversations";
      LANDFALL_ASSIGN(std::vector<ChatMessage> messages, messages_of(row[key], "\"" + key + "\""));
      return conversation(std::move(messages), row["system"]);
    }
    case RowShape::preference:
      break;
  }
  return preference(row);
}

}  // namespace landfall
