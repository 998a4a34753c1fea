#include "server/openai.h"

namespace landfall {
namespace {

// Messages may quote what the client sent.
constexpr size_t kMessageLimit = 400;

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json usage_json(const Usage& usage) {
  Json cached;
  cached.set("cached_tokens", usage.reused_tokens);
  Json out;
  out.set("prompt_tokens", usage.prompt_tokens).set("completion_tokens", usage.answer_tokens);
  out.set("total_tokens", usage.prompt_tokens + usage.answer_tokens).set("prompt_tokens_details", std::move(cached));
  if (usage.drafted_tokens > 0) {
    Json predicted;  // the API's own name for speculation
    predicted.set("accepted_prediction_tokens", usage.accepted_tokens);
    predicted.set("rejected_prediction_tokens", usage.drafted_tokens - usage.accepted_tokens);
    out.set("completion_tokens_details", std::move(predicted));
  }
  return out;
}

Json finish_reason(FinishReason reason) { return reason == FinishReason::length ? "length" : "stop"; }

std::string data(const Json& json) { return "data: " + json.dump() + "\n\n"; }

}  // namespace

std::string error_json(const ApiError& error) {
  std::string message = error.message;
  if (message.size() > kMessageLimit) message = message.substr(0, kMessageLimit) + " ...";
  Json inner;
  inner.set("message", std::move(message)).set("type", error_type(error.status));
  inner.set("param", text_or_null(error.param)).set("code", text_or_null(error.code));
  return Json().set("error", std::move(inner)).dump();
}

ApiError api_error(const Status& status) {
  switch (status.code()) {
    case Code::invalid_argument:
    case Code::unsupported:
    case Code::failed_precondition:
      return {400, status.message(), "", ""};
    case Code::resource_exhausted:
    case Code::unavailable:
      return {503, status.message(), "", ""};
    case Code::cancelled:
      return {503, "the server is stopping; the answer was broken off", "", ""};
    default:
      return {500, "the server could not answer this request; its own messages say why", "", ""};
  }
}

OpenAiFormat::OpenAiFormat(const OpenAiCall& call, std::string model, std::string id, int64_t created)
    : chat_(call.chat), include_usage_(call.include_usage), model_(std::move(model)), created_(created) {
  id_ = (chat_ ? "chatcmpl-" : "cmpl-") + std::move(id);
}

std::string OpenAiFormat::reply(const std::string& reasoning, const std::string& content, FinishReason reason,
                                const Usage& usage) const {
  Json choice;
  choice.set("index", 0);
  if (chat_) {
    Json message;
    message.set("role", "assistant").set("content", content);
    if (!reasoning.empty()) message.set("reasoning_content", reasoning);
    choice.set("message", std::move(message.set("refusal", nullptr)));
  } else {
    choice.set("text", content);
  }
  choice.set("logprobs", nullptr).set("finish_reason", finish_reason(reason));
  Json out;
  out.set("id", id_).set("object", chat_ ? "chat.completion" : "text_completion").set("created", created_);
  out.set("model", model_).set("choices", Json::Array{std::move(choice)}).set("usage", usage_json(usage));
  return out.dump();
}

// With include_usage every event has the member, null in all but the last.
std::string OpenAiFormat::event(Json choices, std::optional<Json> usage) const {
  Json out;
  out.set("id", id_).set("object", chat_ ? "chat.completion.chunk" : "text_completion").set("created", created_);
  out.set("model", model_).set("choices", std::move(choices));
  if (include_usage_) out.set("usage", usage ? std::move(*usage) : Json());
  return data(out);
}

std::string OpenAiFormat::choice_event(Json delta, Json finish) const {
  Json choice;
  choice.set("index", 0).set(chat_ ? "delta" : "text", std::move(delta));
  choice.set("logprobs", nullptr).set("finish_reason", std::move(finish));
  return event(Json::Array{std::move(choice)}, std::nullopt);
}

std::string OpenAiFormat::opening() const {
  if (!chat_) return "";
  return choice_event(Json().set("role", "assistant").set("content", ""), nullptr);
}

std::string OpenAiFormat::delta(const std::string& reasoning, const std::string& content) const {
  if (reasoning.empty() && content.empty()) return "";
  if (!chat_) return choice_event(content, nullptr);
  Json delta;
  if (!reasoning.empty()) delta.set("reasoning_content", reasoning);
  if (!content.empty()) delta.set("content", content);
  return choice_event(std::move(delta), nullptr);
}

std::string OpenAiFormat::closing(FinishReason reason, const Usage& usage) const {
  std::string out = choice_event(chat_ ? Json(Json::Object{}) : Json(""), finish_reason(reason));
  if (include_usage_) out += event(Json::Array{}, usage_json(usage));
  return out + "data: [DONE]\n\n";
}

std::string OpenAiFormat::failure(const ApiError& error) { return "data: " + error_json(error) + "\n\n"; }

}  // namespace landfall
