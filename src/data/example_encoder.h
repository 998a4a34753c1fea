// From an example to the tokens that a model reads, each with a mark that says whether the model learns to write it.
// Immutable after create(); every const method is safe from any thread.
//
// Text: the tokenizer's beginning token where the model wants one, the text, the token that ends text in its family;
// all are learned. Pieces of a long text have the first and the last of these where the text begins and ends. A
// conversation is rendered by the same ChatFormat that serves it, and only the assistant's answers are learned, each up
// to the token that ends it. Where an answer begins and ends is found by rendering the conversation before it, as a
// prompt, and with it: when each of these is how the next begins, the whole conversation is one document, encoded
// answer by answer at these cuts, so that each answer's tokens follow exactly the tokens of its prompt and no token
// lies across a cut. Forms that render an earlier answer differently once another follows (they cut thinking out) give
// a document for each answer instead. Thinking that a form does not render is written as the model itself would write
// it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/examples.h"
#include "model/chat/chat_format.h"
#include "model/tokenizer/tokenizer.h"

namespace landfall {

// A token's id in the lower 31 bits; the highest says that it is learned, which takes a token before it.
using MarkedToken = uint32_t;
inline constexpr MarkedToken kLearned = MarkedToken{1} << 31;
inline int32_t token_of(MarkedToken token) { return static_cast<int32_t>(token & ~kLearned); }
inline bool is_learned(MarkedToken token) { return (token & kLearned) != 0; }

using MarkedTokens = std::vector<MarkedToken>;

class ExampleEncoder {
 public:
  // The choice of form is the one that the runtime makes (chat_format.h).
  static Result<ExampleEncoder> create(TokenizerSpec spec, ChatFormat::Choice choice = ChatFormat::Choice::automatic);

  // Documents of at most `context` tokens, at least 2. Text that is longer is cut into pieces; each begins with the
  // last token of the one before, so that every token is learned once. A preference gives two, chosen first. An error
  // when a conversation is longer, its form refuses it, or nothing in it is learned.
  Result<std::vector<MarkedTokens>> encode(const Example& example, int64_t context) const;

  // Whether conversations can be encoded at all; the Status says why not.
  const Status& chat_status() const { return chat_status_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  // A digest of all that decides which tokens come out: vocabulary, merges, rules, chat form.
  const std::string& identity() const { return identity_; }

 private:
  ExampleEncoder(Tokenizer tokenizer, std::string identity)
      : tokenizer_(std::move(tokenizer)), identity_(std::move(identity)) {}
  struct Answer;
  Result<std::vector<MarkedTokens>> encode_text(const std::string& text, int64_t context) const;
  Result<std::vector<MarkedTokens>> encode_chat(std::span<const ChatMessage> messages, int64_t context) const;
  Result<std::optional<MarkedTokens>> encode_nested(std::span<const ChatMessage> messages, int64_t context) const;
  Result<MarkedTokens> encode_last_answer(std::span<const ChatMessage> messages) const;
  void append(std::span<const Segment> segments, bool learned, MarkedTokens& out) const;
  Result<Prompt> render(std::span<const ChatMessage> messages, bool as_prompt, bool thinking) const;

  Tokenizer tokenizer_;
  std::string identity_;
  std::optional<ChatFormat> format_;
  Status chat_status_;
  int32_t end_of_text_ = -1;
};

}  // namespace landfall
