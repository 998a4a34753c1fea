// The OpenAI dialect of requests and replies, as text on one side and GenerateRequest on the other; no sockets and no
// models. Pure functions of their arguments; any thread. Source: the OpenAI API reference, and for thinking the
// DeepSeek API (reasoning_content; thinking: {"type": "enabled"}).
//
// A field that is null counts as absent. A field that would change the answer and is not supported is an error that
// names it; other unknown fields are ignored. Where two members have the same name the last one counts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/json.h"
#include "runtime/service.h"

namespace landfall {

struct ApiError {
  int status = 400;  // of HTTP
  std::string message;
  std::string param;  // the field, such as "messages[2].content"; "" for none
  std::string code;   // such as "model_not_found"; "" for none
};

// {"error": {"message", "type", "param", "code"}}
std::string error_json(const ApiError& error);

// For what the runtime reports. Causes on the server's side are not described to clients.
ApiError api_error(const Status& status);

struct OpenAiCall {
  GenerateRequest generate;  // without a seed
  std::optional<uint64_t> seed;
  std::optional<std::string> model;
  bool chat = true;  // or a plain completion
  bool stream = false;
  bool include_usage = false;
};

// What applies where a field is absent: temperature 1 and top_p 1, as OpenAI's; no limit to the answer but the context
// in a chat, 16 tokens in a plain completion.
using ParsedCall = std::variant<OpenAiCall, ApiError>;
ParsedCall parse_chat_completion(std::string_view body);
ParsedCall parse_completion(std::string_view body);

// Loading and unloading of adapters while the server runs, in vLLM's dialect: {"lora_name": ..., "lora_path": ...,
// "load_inplace": false} and {"lora_name": ...}. Source: vLLM's serving protocol (LoadLoRAAdapterRequest); its replies
// are lines of text, ours objects.
struct AdapterCall {
  std::string name, folder;
  bool replace = false;
};
using ParsedAdapterCall = std::variant<AdapterCall, ApiError>;
ParsedAdapterCall parse_load_adapter(std::string_view body);
ParsedAdapterCall parse_unload_adapter(std::string_view body);

// Replies to one call.
class OpenAiFormat {
 public:
  OpenAiFormat(const OpenAiCall& call, std::string model, std::string id, int64_t created);

  std::string reply(const std::string& reasoning, const std::string& content, FinishReason reason,
                    const Usage& usage) const;

  // Server-sent events, in this order: opening, any number of deltas, then closing; or failure in place of closing.
  std::string opening() const;
  std::string delta(const std::string& reasoning, const std::string& content) const;
  std::string closing(FinishReason reason, const Usage& usage) const;
  static std::string failure(const ApiError& error);

 private:
  std::string event(Json choices, std::optional<Json> usage) const;
  std::string choice_event(Json delta, Json finish_reason) const;

  bool chat_, include_usage_;
  std::string model_, id_;
  int64_t created_;
};

}  // namespace landfall
