#include "data/example_encoder.h"

#include <algorithm>

#include "base/digest.h"
#include "model/chat/native_chat.h"

namespace landfall {
namespace {

// For templates that state the date: a conversation must read the same whenever it is encoded. The first day of 2025.
constexpr int64_t kDate = 1735689600;

// Raised whenever the same example would give other tokens than before.
constexpr std::string_view kEncoding = "encoding 1";

// What separates documents in the published families. Where the tokenizer's own end token is none of them (<|im_end|>,
// <|eot_id|>), it ends an answer and the vocabulary may hold one of these beside it.
constexpr std::string_view kEndsOfText[] = {"<|endoftext|>", "<|end_of_text|>", kDeepseekEos};

int32_t end_of_text(const Tokenizer& tokenizer) {
  const std::string& own = tokenizer.token_text(tokenizer.eos());
  if (std::find(std::begin(kEndsOfText), std::end(kEndsOfText), own) != std::end(kEndsOfText)) return tokenizer.eos();
  for (const std::string_view text : kEndsOfText) {
    if (const std::optional<int32_t> id = tokenizer.token_id(text)) return *id;
  }
  return tokenizer.eos();
}

std::string identity_of(const TokenizerSpec& spec, ChatFormat::Choice choice) {
  Digest digest;
  const auto text = [&](std::string_view part) {
    digest.update(std::to_string(part.size()) + ":");
    digest.update(part);
  };
  const auto texts = [&](const std::vector<std::string>& parts) {
    text(std::to_string(parts.size()));
    for (const std::string& part : parts) text(part);
  };
  text(kEncoding);
  text(spec.pre);
  texts(spec.tokens);
  texts(spec.merges);
  for (const int32_t type : spec.types) text(std::to_string(type));
  for (const int32_t id : {spec.bos, spec.eos, spec.eot, spec.pad}) text(std::to_string(id));
  text(spec.add_bos ? "bos" : "");
  text(spec.chat_template);
  text(choice == ChatFormat::Choice::file ? "file" : "automatic");
  if (spec.rules) {
    texts(spec.rules->patterns);
    text(spec.rules->nfc ? "nfc" : "");
    text(spec.rules->ignore_merges ? "whole" : "");
  }
  return digest.hex();
}

// The part of a prompt from byte `begin` to byte `end` of its text.
std::vector<Segment> part_of(const Prompt& prompt, size_t begin, size_t end) {
  std::vector<Segment> out;
  size_t at = 0;
  for (const Segment& segment : prompt.segments) {
    const size_t first = std::max(begin, at), last = std::min(end, at + segment.text.size());
    if (first < last) out.push_back({segment.text.substr(first - at, last - first), segment.markup});
    at += segment.text.size();
  }
  return out;
}

// Whether a rendered answer holds the thinking that its message has.
bool shows_thinking(std::string_view rendered, const ChatMessage& message) {
  return message.reasoning.empty() || rendered.find(message.reasoning) != std::string_view::npos;
}

bool anything_learned(const MarkedTokens& tokens) {
  return tokens.size() > 1 && std::any_of(tokens.begin() + 1, tokens.end(), is_learned);
}

// Nothing is learned from what follows the last learned token.
void trim(MarkedTokens& tokens) {
  while (!tokens.empty() && !is_learned(tokens.back())) tokens.pop_back();
}

Status check_length(const MarkedTokens& tokens, int64_t context) {
  if (static_cast<int64_t>(tokens.size()) <= context) return {};
  return Status(Code::invalid_argument, "the conversation has " + std::to_string(tokens.size()) +
                                            " tokens, and the context holds " + std::to_string(context));
}

}  // namespace

Result<ExampleEncoder> ExampleEncoder::create(TokenizerSpec spec, ChatFormat::Choice choice) {
  std::string identity = identity_of(spec, choice);
  LANDFALL_ASSIGN(Tokenizer tokenizer, Tokenizer::create(std::move(spec)));
  ExampleEncoder out(std::move(tokenizer), std::move(identity));
  Result<ChatFormat> format = ChatFormat::create(out.tokenizer_, choice);
  out.chat_status_ = format.status();
  if (format.ok()) out.format_ = std::move(*format);
  out.end_of_text_ = end_of_text(out.tokenizer_);
  return out;
}

Result<std::vector<MarkedTokens>> ExampleEncoder::encode(const Example& example, int64_t context) const {
  LANDFALL_CHECK(context >= 2);
  if (example.kind == Example::Kind::text) return encode_text(example.text, context);
  LANDFALL_TRY(chat_status_);
  if (example.kind == Example::Kind::chat) return encode_chat(example.messages, context);
  std::vector<MarkedTokens> out;
  std::vector<ChatMessage> messages = example.messages;
  for (const ChatMessage* answer : {&example.chosen, &example.rejected}) {
    messages.push_back(*answer);
    LANDFALL_ASSIGN(MarkedTokens tokens, encode_last_answer(messages));
    LANDFALL_TRY(check_length(tokens, context));
    out.push_back(std::move(tokens));
    messages.pop_back();
  }
  return out;
}

Result<std::vector<MarkedTokens>> ExampleEncoder::encode_text(const std::string& text, int64_t context) const {
  std::vector<int32_t> ids = tokenizer_.with_bos(tokenizer_.encode(text));
  if (end_of_text_ >= 0) ids.push_back(end_of_text_);
  if (ids.size() < 2) return Status(Code::invalid_argument, "the text is a single token, so nothing comes before it");
  std::vector<MarkedTokens> out;
  const auto most = static_cast<size_t>(context);
  for (size_t begin = 0; begin + 1 < ids.size(); begin += most - 1) {
    MarkedTokens& piece = out.emplace_back();
    for (size_t i = begin; i < std::min(begin + most, ids.size()); ++i) {
      piece.push_back(static_cast<MarkedToken>(ids[i]) | kLearned);
    }
  }
  return out;
}

Result<std::vector<MarkedTokens>> ExampleEncoder::encode_chat(std::span<const ChatMessage> messages,
                                                              int64_t context) const {
  std::vector<MarkedTokens> out;
  LANDFALL_ASSIGN(std::optional<MarkedTokens> nested, encode_nested(messages, context));
  if (nested) {
    out.push_back(std::move(*nested));
    return out;
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != "assistant") continue;
    LANDFALL_ASSIGN(MarkedTokens tokens, encode_last_answer(messages.first(i + 1)));
    LANDFALL_TRY(check_length(tokens, context));
    out.push_back(std::move(tokens));
  }
  return out;
}

Result<Prompt> ExampleEncoder::render(std::span<const ChatMessage> messages, bool as_prompt, bool thinking) const {
  ChatOptions options;
  options.add_generation_prompt = as_prompt;
  if (thinking) options.thinking = true;
  options.unix_time = kDate;
  return format_->render(messages, options);
}

void ExampleEncoder::append(std::span<const Segment> segments, bool learned, MarkedTokens& out) const {
  const std::vector<int32_t>& ends = tokenizer_.eos_ids();
  for (const int32_t id : tokenizer_.encode_segments(segments)) {
    out.push_back(static_cast<MarkedToken>(id) | (learned ? kLearned : 0));
    // Whatever a form writes behind the end of an answer is never the model's to write.
    if (std::binary_search(ends.begin(), ends.end(), id)) learned = false;
  }
}

// The whole conversation as one document, or nothing where the renderings of its beginnings do not begin one another.
Result<std::optional<MarkedTokens>> ExampleEncoder::encode_nested(std::span<const ChatMessage> messages,
                                                                  int64_t context) const {
  LANDFALL_ASSIGN(const Prompt whole, render(messages, /*as_prompt=*/false, /*thinking=*/false));
  const std::string text = whole.text();
  MarkedTokens out;
  size_t done = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].role != "assistant") continue;
    LANDFALL_ASSIGN(const Prompt prompt, render(messages.first(i), /*as_prompt=*/true, /*thinking=*/false));
    LANDFALL_ASSIGN(const Prompt answered, render(messages.first(i + 1), /*as_prompt=*/false, /*thinking=*/false));
    const std::string before = prompt.text(), with = answered.text();
    if (before.size() < done || !with.starts_with(before) || !text.starts_with(with))
      return std::optional<MarkedTokens>();
    if (!shows_thinking(std::string_view(with).substr(before.size()), messages[i]))
      return std::optional<MarkedTokens>();
    append(part_of(whole, done, before.size()), /*learned=*/false, out);
    if (done == 0 && tokenizer_.add_bos() && (out.empty() || token_of(out[0]) != tokenizer_.bos()))
      out.insert(out.begin(), static_cast<MarkedToken>(tokenizer_.bos()));
    append(part_of(whole, before.size(), with.size()), /*learned=*/true, out);
    done = with.size();
    if (static_cast<int64_t>(out.size()) > context) break;
  }
  if (done == text.size()) {
    trim(out);
  } else {
    append(part_of(whole, done, text.size()), /*learned=*/false, out);  // so that the error states the length of all
  }
  LANDFALL_TRY(check_length(out, context));
  if (!anything_learned(out)) return Status(Code::invalid_argument, "the chat form renders none of its answers");
  return std::optional(std::move(out));
}

// The prompt as it is when the answer is asked for, and the answer up to the token that ends it.
Result<MarkedTokens> ExampleEncoder::encode_last_answer(std::span<const ChatMessage> messages) const {
  const ChatMessage& answer = messages.back();
  const std::span<const ChatMessage> asked = messages.first(messages.size() - 1);
  bool thinking = !answer.reasoning.empty();
  Result<Prompt> prompt = render(asked, /*as_prompt=*/true, thinking);
  if (!prompt.ok() && thinking) {  // no switch for it
    thinking = false;
    prompt = render(asked, /*as_prompt=*/true, thinking);
  }
  if (!prompt.ok()) return prompt.status();
  LANDFALL_ASSIGN(const Prompt answered, render(messages, /*as_prompt=*/false, thinking));
  const std::string before = prompt->text(), with = answered.text();

  std::vector<Segment> written;
  if (with.starts_with(before) && shows_thinking(std::string_view(with).substr(before.size()), answer)) {
    written = part_of(answered, before.size(), with.size());
  } else {
    if (prompt->starts_in_thinking || !answer.reasoning.empty()) {
      const bool lines =
          !prompt->starts_in_thinking || before.ends_with('\n');  // R1 writes the tags on lines of their own
      if (!prompt->starts_in_thinking) written.push_back({"<think>\n", true});
      written.push_back({answer.reasoning, false});
      written.push_back({lines ? "\n</think>\n\n" : "</think>", true});
    }
    written.push_back({answer.content, false});
    if (tokenizer_.eos() >= 0) written.push_back({tokenizer_.token_text(tokenizer_.eos()), true});
  }

  MarkedTokens out;
  for (const int32_t id : tokenizer_.with_bos(tokenizer_.encode_segments(prompt->segments)))
    out.push_back(static_cast<MarkedToken>(id));
  append(written, /*learned=*/true, out);
  trim(out);
  if (!anything_learned(out)) return Status(Code::invalid_argument, "the chat form renders nothing of the answer");
  return out;
}

}  // namespace landfall
