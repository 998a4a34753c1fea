#include "server/openai.h"

#include <gtest/gtest.h>

namespace landfall {
namespace {

constexpr std::string_view kHello = R"("messages":[{"role":"user","content":"Hello"}])";

OpenAiCall chat_call(const std::string& fields) {
  ParsedCall parsed = parse_chat_completion("{" + std::string(kHello) + (fields.empty() ? "" : ",") + fields + "}");
  if (const auto* error = std::get_if<ApiError>(&parsed)) {
    ADD_FAILURE() << fields << ": " << error->message;
    return {};
  }
  return std::get<OpenAiCall>(parsed);
}

ApiError error_of(ParsedCall parsed, const std::string& body) {
  if (auto* error = std::get_if<ApiError>(&parsed)) return *error;
  ADD_FAILURE() << "was accepted: " << body;
  return {};
}
ApiError chat_error(const std::string& body) { return error_of(parse_chat_completion(body), body); }
ApiError field_error(const std::string& fields) { return chat_error("{" + std::string(kHello) + "," + fields + "}"); }
ApiError completion_error(const std::string& body) { return error_of(parse_completion(body), body); }

TEST(OpenAiRequest, AbsentFieldsHaveTheDefaultsOfTheApi) {
  const OpenAiCall call = chat_call("");
  EXPECT_TRUE(call.chat);
  EXPECT_FALSE(call.stream);
  EXPECT_FALSE(call.include_usage);
  EXPECT_FALSE(call.model);
  EXPECT_FALSE(call.seed);
  EXPECT_FALSE(call.generate.thinking);
  EXPECT_FALSE(call.generate.max_tokens);
  EXPECT_TRUE(call.generate.stop.empty());
  EXPECT_EQ(call.generate.priority, 0);
  const SamplerSettings& s = call.generate.sampler;
  EXPECT_EQ(s.temperature, 1.0f);
  EXPECT_EQ(s.top_p, 1.0f);
  EXPECT_EQ(s.min_p, 0.0f);
  EXPECT_EQ(s.top_k, 0);
  EXPECT_EQ(s.repetition_penalty, 1.0f);
  EXPECT_EQ(s.frequency_penalty, 0.0f);
  EXPECT_EQ(s.presence_penalty, 0.0f);
  ASSERT_EQ(call.generate.messages.size(), 1u);
  EXPECT_EQ(call.generate.messages[0].role, "user");
  EXPECT_EQ(call.generate.messages[0].content, "Hello");
}

TEST(OpenAiRequest, NullCountsAsAbsent) {
  const OpenAiCall call = chat_call(
      R"("temperature":null,"stop":null,"tools":null,"n":null,"stream":null,"stream_options":null,"seed":null,"logprobs":null,)"
      R"("max_tokens":null,"response_format":null,"model":null,"chat_template_kwargs":null)");
  EXPECT_EQ(call.generate.sampler.temperature, 1.0f);
  EXPECT_FALSE(call.seed);
}

TEST(OpenAiRequest, EveryFieldArrives) {
  const OpenAiCall call = chat_call(
      R"("model":"m","temperature":0.5,"top_p":0.25,"top_k":40,"min_p":0.125,"max_completion_tokens":7,"stop":["a","b"],)"
      R"("seed":-3,"frequency_penalty":-1.5,"presence_penalty":1.5,"repetition_penalty":1.25,"priority":-3,"stream":true,)"
      R"("stream_options":{"include_usage":true},"chat_template_kwargs":{"enable_thinking":true})");
  EXPECT_EQ(call.model, "m");
  const SamplerSettings& s = call.generate.sampler;
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_p, 0.25f);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_EQ(s.min_p, 0.125f);
  EXPECT_EQ(s.frequency_penalty, -1.5f);
  EXPECT_EQ(s.presence_penalty, 1.5f);
  EXPECT_EQ(s.repetition_penalty, 1.25f);
  EXPECT_EQ(call.generate.max_tokens, 7);
  EXPECT_EQ(call.generate.priority, -3);
  EXPECT_EQ(call.generate.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(call.seed, static_cast<uint64_t>(-3));
  EXPECT_TRUE(call.stream);
  EXPECT_TRUE(call.include_usage);
  EXPECT_EQ(call.generate.thinking, true);
}

TEST(OpenAiRequest, EdgesOfRangesAreAccepted) {
  EXPECT_EQ(chat_call(R"("temperature":0)").generate.sampler.temperature, 0.0f);
  EXPECT_EQ(chat_call(R"("temperature":2)").generate.sampler.temperature, 2.0f);
  EXPECT_GT(chat_call(R"("top_p":0)").generate.sampler.top_p, 0.0f);
  EXPECT_TRUE(check_sampler(chat_call(R"("top_p":0)").generate.sampler).ok());
  EXPECT_TRUE(check_sampler(chat_call(R"("repetition_penalty":0.01)").generate.sampler).ok());
  EXPECT_EQ(chat_call(R"("top_k":-1)").generate.sampler.top_k, 0);
  EXPECT_EQ(chat_call(R"("max_tokens":5.0)").generate.max_tokens, 5);
  EXPECT_EQ(chat_call(R"("max_tokens":9223372036854775807)").generate.max_tokens, INT64_MAX);
  EXPECT_EQ(chat_call(R"("seed":9223372036854775807)").seed, static_cast<uint64_t>(INT64_MAX));
  EXPECT_EQ(chat_call(R"("max_tokens":5,"max_completion_tokens":5)").generate.max_tokens, 5);
}

TEST(OpenAiRequest, StopIsAStringOrUpToSixteen) {
  EXPECT_EQ(chat_call(R"("stop":"end")").generate.stop, std::vector<std::string>{"end"});
  EXPECT_TRUE(chat_call(R"("stop":"")").generate.stop.empty());
  EXPECT_TRUE(chat_call(R"("stop":[])").generate.stop.empty());
  std::string sixteen;
  for (int i = 0; i < 16; ++i) sixteen += (i ? ",\"" : "\"") + std::to_string(i) + "\"";
  EXPECT_EQ(chat_call("\"stop\":[" + sixteen + "]").generate.stop.size(), 16u);
  EXPECT_EQ(field_error("\"stop\":[" + sixteen + ",\"x\"]").param, "stop");
  EXPECT_EQ(field_error("\"stop\":[\"" + std::string(1025, 'x') + "\"]").param, "stop");
}

TEST(OpenAiRequest, RolesAndPartsBecomeMessages) {
  const ParsedCall parsed = parse_chat_completion(
      R"({"messages":[{"role":"developer","content":"Be brief."},{"role":"user","name":"Ann","content":[{"type":"text","text":"a"},)"
      R"({"type":"text","text":"b"}]},{"role":"assistant","content":"c","reasoning_content":"r","tool_calls":[]},)"
      R"({"role":"user","content":""}]})");
  ASSERT_TRUE(std::holds_alternative<OpenAiCall>(parsed));
  const auto& messages = std::get<OpenAiCall>(parsed).generate.messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[1].content, "a\nb");
  EXPECT_EQ(messages[2].role, "assistant");
  EXPECT_EQ(messages[2].reasoning, "r");
  EXPECT_EQ(messages[3].content, "");
}

TEST(OpenAiRequest, ThinkingHasOneMeaningUnderAllItsNames) {
  EXPECT_EQ(chat_call(R"("chat_template_kwargs":{"thinking":false})").generate.thinking, false);
  EXPECT_EQ(chat_call(R"("thinking":{"type":"enabled"})").generate.thinking, true);
  EXPECT_EQ(chat_call(R"("thinking":{"type":"disabled"})").generate.thinking, false);
  EXPECT_EQ(chat_call(R"("reasoning_effort":"none")").generate.thinking, false);
  EXPECT_EQ(chat_call(R"("reasoning_effort":"none","thinking":{"type":"disabled"})").generate.thinking, false);
  EXPECT_EQ(field_error(R"("reasoning_effort":"high")").param, "reasoning_effort");
  EXPECT_EQ(field_error(R"("thinking":{"type":"auto"})").param, "thinking.type");
  EXPECT_EQ(field_error(R"("thinking":{"type":"enabled"},"reasoning_effort":"none")").param, "thinking.type");
  EXPECT_EQ(field_error(R"("chat_template_kwargs":{"thinking":true,"enable_thinking":false})").param,
            "chat_template_kwargs.thinking");
  const ApiError unknown = field_error(R"("chat_template_kwargs":{"mood":"good"})");
  EXPECT_EQ(unknown.param, "chat_template_kwargs");
  EXPECT_NE(unknown.message.find("mood"), std::string::npos);
}

TEST(OpenAiRequest, HarmlessFieldsAreIgnored) {
  chat_call(
      R"("user":"me","metadata":{"a":"b"},"store":true,"service_tier":"auto","logit_bias":{},"n":1,"tools":[],"tool_choice":"none",)"
      R"("parallel_tool_calls":true,"response_format":{"type":"text"},"logprobs":false,"top_logprobs":0,"modalities":["text"],)"
      R"("best_of":1,"echo":false,"suffix":"","typical_p":1.0,"mirostat":0,"something_new":{"x":[1,2]})");
}

TEST(OpenAiRequest, FieldsThatWouldChangeTheAnswerAreRefusedByName) {
  const std::pair<const char*, const char*> rows[] = {
      {"tools", R"([{"type":"function","function":{"name":"f"}}])"},
      {"tool_choice", R"("required")"},
      {"tool_choice", R"({"type":"function","function":{"name":"f"}})"},
      {"functions", R"([{"name":"f"}])"},
      {"function_call", R"({"name":"f"})"},
      {"response_format", R"({"type":"json_object"})"},
      {"response_format", R"("text")"},
      {"n", "2"},
      {"n", "0"},
      {"best_of", "2"},
      {"logprobs", "true"},
      {"logprobs", "0"},
      {"top_logprobs", "3"},
      {"logit_bias", R"({"50256":-100})"},
      {"echo", "true"},
      {"suffix", R"("end")"},
      {"modalities", R"(["text","audio"])"},
      {"audio", R"({"voice":"alloy"})"},
      {"guided_json", R"({"type":"object"})"},
      {"grammar", R"("root ::= \"a\"")"},
      {"min_tokens", "5"},
      {"ignore_eos", "true"},
      {"mirostat", "2"},
      {"typical_p", "0.9"},
  };
  for (const auto& [name, value] : rows) {
    const ApiError error = field_error("\"" + std::string(name) + "\":" + value);
    EXPECT_EQ(error.status, 400) << name;
    EXPECT_EQ(error.param, name);
    EXPECT_EQ(error.code, "unsupported_field") << name;
    EXPECT_TRUE(error.message.starts_with(name)) << error.message;
  }
}

TEST(OpenAiRequest, WrongKindsAndRangesNameTheField) {
  const std::pair<const char*, const char*> rows[] = {
      {"temperature", "-0.1"},
      {"temperature", "2.1"},
      {"temperature", "\"1\""},
      {"temperature", "true"},
      {"temperature", "[1]"},
      {"top_p", "-0.1"},
      {"top_p", "1.1"},
      {"min_p", "1.5"},
      {"top_k", "-2"},
      {"top_k", "1.5"},
      {"top_k", "99999999999"},
      {"max_tokens", "0"},
      {"max_tokens", "-1"},
      {"max_tokens", "1.5"},
      {"max_tokens", "1e300"},
      {"max_tokens", "18446744073709551616"},
      {"max_completion_tokens", "0"},
      {"max_completion_tokens", "\"7\""},
      {"frequency_penalty", "2.01"},
      {"presence_penalty", "-2.01"},
      {"repetition_penalty", "0"},
      {"repetition_penalty", "11"},
      {"seed", "1.5"},
      {"seed", "\"x\""},
      {"seed", "9223372036854775808"},
      {"stop", "5"},
      {"stop", "[5]"},
      {"stop", "{}"},
      {"stream", "1"},
      {"stream", "\"true\""},
      {"stream_options", "true"},
      {"model", "5"},
      {"model", "[]"},
      {"chat_template_kwargs", "[]"},
      {"thinking", "true"},
      {"reasoning_effort", "5"},
  };
  for (const auto& [name, value] : rows) {
    const ApiError error = field_error("\"" + std::string(name) + "\":" + value);
    EXPECT_EQ(error.status, 400) << name << " " << value;
    EXPECT_EQ(error.param, name) << value;
    EXPECT_TRUE(error.message.starts_with(std::string(name) + ": ")) << error.message;
    EXPECT_EQ(error.message.find('\n'), std::string::npos);
  }
  EXPECT_EQ(field_error(R"("stream_options":{"include_usage":1})").param, "stream_options.include_usage");
  EXPECT_EQ(field_error(R"("max_tokens":5,"max_completion_tokens":6)").param, "max_tokens");
  EXPECT_EQ(field_error(R"("priority":"high")").param, "priority");
  EXPECT_EQ(field_error(R"("priority":0.5)").param, "priority");
  EXPECT_EQ(field_error(R"("priority":2147483648)").param, "priority");
  EXPECT_NE(field_error(R"("temperature":3)").message.find("3 is out of range; from 0 to 2"), std::string::npos);
}

TEST(OpenAiRequest, BadMessagesAreNamedByTheirPlace) {
  const auto param = [](const std::string& messages) { return chat_error("{\"messages\":" + messages + "}").param; };
  EXPECT_EQ(param("null"), "messages");
  EXPECT_EQ(param("[]"), "messages");
  EXPECT_EQ(param("{}"), "messages");
  EXPECT_EQ(param("\"hi\""), "messages");
  EXPECT_EQ(param("[5]"), "messages[0]");
  EXPECT_EQ(param("[null]"), "messages[0]");
  EXPECT_EQ(param(R"([{"content":"x"}])"), "messages[0].role");
  EXPECT_EQ(param(R"([{"role":5,"content":"x"}])"), "messages[0].role");
  EXPECT_EQ(param(R"([{"role":"robot","content":"x"}])"), "messages[0].role");
  EXPECT_EQ(param(R"([{"role":"tool","content":"x","tool_call_id":"1"}])"), "messages[0].role");
  EXPECT_EQ(param(R"([{"role":"user","content":"x"},{"role":"user"}])"), "messages[1].content");
  EXPECT_EQ(param(R"([{"role":"assistant","content":null}])"), "messages[0].content");
  EXPECT_EQ(param(R"([{"role":"user","content":{}}])"), "messages[0].content");
  EXPECT_EQ(param(R"([{"role":"user","content":["x"]}])"), "messages[0].content[0]");
  EXPECT_EQ(param(R"([{"role":"user","content":[{"text":"x"}]}])"), "messages[0].content[0].type");
  EXPECT_EQ(param(R"([{"role":"user","content":[{"type":"text"}]}])"), "messages[0].content[0].text");
  EXPECT_EQ(
      param(
          R"([{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"http://x"}}]}])"),
      "messages[0].content[1].type");
  EXPECT_EQ(param(R"([{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]}])"), "messages[0].tool_calls");
  EXPECT_EQ(param(R"([{"role":"assistant","content":"x","prefix":true}])"), "messages[0].prefix");
  EXPECT_EQ(param(R"([{"role":"assistant","content":"x","reasoning_content":5}])"), "messages[0].reasoning_content");
}

TEST(OpenAiRequest, WhatIsNotAJsonObjectSaysWhere) {
  for (const char* body :
       {"", " ", "{", "nonsense", "{\"messages\":[}", "{\"a\":\"\xff\"}", "{} {}", "{\"a\":1e999}"}) {
    const ApiError error = chat_error(body);
    EXPECT_EQ(error.status, 400) << body;
    EXPECT_EQ(error.code, "invalid_json") << body;
    EXPECT_EQ(error.param, "");
  }
  EXPECT_NE(chat_error("{\"messages\":\n[}").message.find("line 2, column 2"), std::string::npos);
  for (const char* body : {"[]", "5", "\"x\"", "null", "true"})
    EXPECT_EQ(chat_error(body).code, "invalid_json") << body;
  EXPECT_EQ(chat_error(std::string(100000, '[')).code, "invalid_json");
  EXPECT_EQ(chat_error(std::string(size_t{17} << 20, ' ')).code, "invalid_json");
  std::string many = "[0";  // two bytes of text each, and forty in memory
  for (int i = 0; i < 1'000'000; ++i) many += ",0";
  EXPECT_NE(chat_error(many + "]").message.find("more than 100000 values"), std::string::npos);
}

TEST(OpenAiRequest, TheLastOfTwoEqualNamesCounts) {
  EXPECT_EQ(chat_call(R"("temperature":5,"temperature":0.5)").generate.sampler.temperature, 0.5f);
  EXPECT_EQ(field_error(R"("tools":[],"tools":[{}])").param, "tools");
}

TEST(OpenAiRequest, ManyMembersOfOneNameTakeNoLongTime) {
  std::string members = "\"thinking\":true";
  for (int i = 0; i < 49000; ++i) members += ",\"thinking\":true";
  for (int i = 0; i < 49000; ++i) members += ",\"enable_thinking\":true";
  EXPECT_EQ(chat_call("\"chat_template_kwargs\":{" + members + "}").generate.thinking, true);
}

TEST(OpenAiRequest, PlainCompletionsTakeOneText) {
  ParsedCall parsed = parse_completion(R"({"prompt":"Once","max_tokens":5})");
  ASSERT_TRUE(std::holds_alternative<OpenAiCall>(parsed));
  EXPECT_FALSE(std::get<OpenAiCall>(parsed).chat);
  EXPECT_EQ(std::get<OpenAiCall>(parsed).generate.prompt, "Once");
  EXPECT_EQ(std::get<OpenAiCall>(parsed).generate.max_tokens, 5);
  parsed = parse_completion(R"({"prompt":["Twice"]})");
  ASSERT_TRUE(std::holds_alternative<OpenAiCall>(parsed));
  EXPECT_EQ(std::get<OpenAiCall>(parsed).generate.prompt, "Twice");
  EXPECT_EQ(std::get<OpenAiCall>(parsed).generate.max_tokens, 16);
  for (const char* prompt : {"null", "[]", "5", "{}", "[5]", "[[1,2]]", "[\"a\",\"b\"]", "[null]"}) {
    EXPECT_EQ(completion_error("{\"prompt\":" + std::string(prompt) + "}").param, "prompt") << prompt;
  }
  EXPECT_NE(completion_error(R"({"prompt":[1,2,3]})").message.find("token ids"), std::string::npos);
  EXPECT_EQ(completion_error(R"({"prompt":"a","logprobs":0})").param, "logprobs");
  EXPECT_EQ(completion_error(R"({"prompt":"a","echo":true})").param, "echo");
  EXPECT_EQ(completion_error(R"({"prompt":"a","suffix":"b"})").param, "suffix");
}

// ---- replies

Json parsed_data(const std::string& event) {
  EXPECT_TRUE(event.starts_with("data: ")) << event;
  EXPECT_TRUE(event.ends_with("\n\n")) << event;
  const Result<Json> json = parse_json(event.substr(6));
  EXPECT_TRUE(json.ok()) << event;
  return json.ok() ? *json : Json();
}

OpenAiFormat format(bool is_chat, bool include_usage) {
  OpenAiCall call;
  call.chat = is_chat;
  call.include_usage = include_usage;
  return OpenAiFormat(call, "tiny", "1", 1700000000);
}

TEST(OpenAiReply, ChatReplyHasTheShapeOfTheApi) {
  const Usage usage{.prompt_tokens = 5, .answer_tokens = 2, .reused_tokens = 3};
  EXPECT_EQ(
      format(true, false).reply("why", "Hi \"x\"\n", FinishReason::stop, usage),
      R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"tiny","choices":[{"index":0,)"
      R"("message":{"role":"assistant","content":"Hi \"x\"\n","reasoning_content":"why","refusal":null},"logprobs":null,)"
      R"("finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,)"
      R"("prompt_tokens_details":{"cached_tokens":3}}})");
  const auto plain = parse_json(format(true, false).reply("", "Hi", FinishReason::length, usage));
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ((*plain)["choices"].array()[0]["message"].find("reasoning_content"), nullptr);
  EXPECT_EQ((*plain)["choices"].array()[0]["finish_reason"].string(), "length");
}

TEST(OpenAiReply, DraftedTokensAreCountedAsThePredictedOnesOfTheApi) {
  const Usage usage{.prompt_tokens = 5, .answer_tokens = 9, .drafted_tokens = 8, .accepted_tokens = 6};
  const auto reply = parse_json(format(true, false).reply("", "Hi", FinishReason::stop, usage));
  ASSERT_TRUE(reply.ok());
  const Json& details = (*reply)["usage"]["completion_tokens_details"];
  EXPECT_EQ(details["accepted_prediction_tokens"].integer(), 6);
  EXPECT_EQ(details["rejected_prediction_tokens"].integer(), 2);
}

TEST(OpenAiReply, CompletionReplyHasTheShapeOfTheApi) {
  EXPECT_EQ(
      format(false, false).reply("", "text", FinishReason::length, {.prompt_tokens = 1, .answer_tokens = 1}),
      R"({"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"tiny","choices":[{"index":0,"text":"text",)"
      R"("logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,)"
      R"("prompt_tokens_details":{"cached_tokens":0}}})");
}

TEST(OpenAiReply, StreamedChatBeginsWithARoleAndEndsWithDone) {
  const OpenAiFormat f = format(true, false);
  const Json first = parsed_data(f.opening());
  EXPECT_EQ(first["object"].string(), "chat.completion.chunk");
  EXPECT_EQ(first["choices"].array()[0]["delta"]["role"].string(), "assistant");
  EXPECT_TRUE(first["choices"].array()[0]["finish_reason"].is_null());
  EXPECT_EQ(first.find("usage"), nullptr);
  const Json reasoning = parsed_data(f.delta("hm", ""));
  EXPECT_EQ(reasoning["choices"].array()[0]["delta"].dump(), R"({"reasoning_content":"hm"})");
  const Json content = parsed_data(f.delta("", "a\nb"));
  EXPECT_EQ(content["choices"].array()[0]["delta"].dump(), R"({"content":"a\nb"})");
  EXPECT_EQ(f.delta("", ""), "");
  const std::string closing = f.closing(FinishReason::length, {});
  ASSERT_TRUE(closing.ends_with("\n\ndata: [DONE]\n\n"));
  const Json last = parsed_data(closing.substr(0, closing.size() - 14));
  EXPECT_EQ(last["choices"].array()[0]["delta"].dump(), "{}");
  EXPECT_EQ(last["choices"].array()[0]["finish_reason"].string(), "length");
}

TEST(OpenAiReply, StreamedUsageComesInAnEventOfItsOwn) {
  const OpenAiFormat f = format(true, true);
  const Json delta = parsed_data(f.delta("", "x"));
  ASSERT_NE(delta.find("usage"), nullptr);
  EXPECT_TRUE(delta["usage"].is_null());
  const std::string closing = f.closing(FinishReason::stop, {.prompt_tokens = 4, .answer_tokens = 6});
  const size_t second = closing.find("\n\n") + 2;
  const Json usage = parsed_data(closing.substr(second, closing.find("\n\n", second) + 2 - second));
  EXPECT_TRUE(usage["choices"].is_array());
  EXPECT_TRUE(usage["choices"].array().empty());
  EXPECT_EQ(usage["usage"]["total_tokens"].integer(), 10);
}

TEST(OpenAiReply, StreamedCompletionCarriesText) {
  const OpenAiFormat f = format(false, false);
  EXPECT_EQ(f.opening(), "");
  EXPECT_EQ(parsed_data(f.delta("", "x"))["choices"].array()[0]["text"].string(), "x");
  EXPECT_EQ(parsed_data(f.delta("", "x"))["object"].string(), "text_completion");
}

TEST(OpenAiReply, NoTextBreaksOutOfItsEvent) {
  const std::string hostile = std::string("\n\ndata: [DONE]\n\n\r\n\"}\0\xff\xe2\x80\xa8", 24);
  const std::string event = format(true, false).delta("", hostile);
  EXPECT_EQ(event.find('\n'), event.size() - 2);
  EXPECT_EQ(event.find('\r'), std::string::npos);
  EXPECT_TRUE(parsed_data(event)["choices"].array()[0]["delta"]["content"].string().starts_with("\n\ndata: [DONE]"));
}

TEST(OpenAiReply, ErrorsHaveOneForm) {
  EXPECT_EQ(error_json({404, "no", "model", "model_not_found"}),
            R"({"error":{"message":"no","type":"invalid_request_error","param":"model","code":"model_not_found"}})");
  EXPECT_EQ(error_json({429, "busy", "", ""}),
            R"({"error":{"message":"busy","type":"rate_limit_error","param":null,"code":null}})");
  EXPECT_LT(error_json({400, std::string(100000, 'x'), "", ""}).size(), 1000u);
  EXPECT_EQ(OpenAiFormat::failure({500, "x", "", ""}).substr(0, 15), "data: {\"error\":");
}

TEST(OpenAiReply, CausesOnThisSideStayOnThisSide) {
  for (const Code code : {Code::internal, Code::data_loss, Code::permission_denied, Code::not_found}) {
    const ApiError error = api_error(Status(code, "cannot read '/home/me/model.gguf'"));
    EXPECT_EQ(error.status, 500);
    EXPECT_EQ(error.message.find("/home"), std::string::npos);
  }
  EXPECT_EQ(api_error(Status(Code::invalid_argument, "top_k is wrong")).message, "top_k is wrong");
  EXPECT_EQ(api_error(Status(Code::unsupported, "x")).status, 400);
  EXPECT_EQ(api_error(Status(Code::unavailable, "x")).status, 503);
}

}  // namespace
}  // namespace landfall
