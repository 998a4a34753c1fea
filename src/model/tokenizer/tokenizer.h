// Text to token ids and back: byte-level byte-pair encoding, equal to the published tokenizers. Immutable after
// create(); every const method is safe from any thread.
//
// Markup tokens are those that carry structure: control tokens, and tags such as <think> whatever type the file gives
// them. Plain text never becomes a markup token; only text that the program itself or a chat template wrote may.
// Other tokens that a vocabulary adds to its merges ("user-defined") are matched in plain text, as published.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/pre_tokenizer.h"
#include "model/tokenizer/token_matcher.h"
#include "model/tokenizer/tokenizer_spec.h"

namespace landfall {

// A part of a prompt. Markup tokens are recognised only where every character of theirs is in segments with `markup`.
// Where a text is cut into segments changes nothing else: ids are those of the joined text.
struct Segment {
  std::string text;
  bool markup = false;
};

class Tokenizer {
 public:
  static Result<Tokenizer> create(TokenizerSpec spec);

  // Ids of plain text. Bytes that are not UTF-8 count as U+FFFD, one for each maximal invalid part.
  std::vector<int32_t> encode(std::string_view text) const;
  // Ids of text in which markup tokens are meant.
  std::vector<int32_t> encode_with_special(std::string_view text) const;
  std::vector<int32_t> encode_segments(std::span<const Segment> segments) const;
  // `ids` with the beginning-of-text token first if the model wants one and it is not there yet.
  std::vector<int32_t> with_bos(std::vector<int32_t> ids) const;

  // Valid UTF-8; ids out of range give nothing. `skip_special` leaves out the tokens that is_special() names.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;
  // The bytes of one token, perhaps only part of a character; empty when out of range.
  std::string token_bytes(int32_t id) const;

  // The token with this spelling in the vocabulary; the spelling of a token, empty when out of range.
  std::optional<int32_t> token_id(std::string_view spelling) const;
  const std::string& token_text(int32_t id) const;

  // Control tokens, which a reader of the answer should not see. Thinking tags are not among them: they are read by
  // what splits thinking from the answer.
  bool is_special(int32_t id) const;
  bool is_markup(int32_t id) const;
  int32_t vocab_size() const { return static_cast<int32_t>(tokens_.size()); }
  int32_t bos() const { return bos_; }
  int32_t eos() const { return eos_; }  // the one that the file names, -1 when none
  int32_t pad() const { return pad_; }
  bool add_bos() const { return add_bos_; }
  // Every token that ends an answer, sorted.
  const std::vector<int32_t>& eos_ids() const { return eos_ids_; }
  const std::string& chat_template() const { return chat_template_; }
  // The spellings of the markup tokens, sorted.
  const std::vector<std::string>& markup_texts() const { return markup_texts_; }

 private:
  struct PlainRange;
  Tokenizer(PreTokenizer pre_tokenizer, Bpe bpe) : pre_tokenizer_(std::move(pre_tokenizer)), bpe_(std::move(bpe)) {}

  std::vector<int32_t> encode_marked(std::string_view text, std::span<const PlainRange> plain) const;
  void encode_span(std::string_view text, std::vector<int32_t>& out) const;
  bool in_range(int32_t id) const { return id >= 0 && id < vocab_size(); }
  void find_eos(int32_t eos, int32_t eot);

  PreTokenizer pre_tokenizer_;
  Bpe bpe_;
  TokenMatcher added_;  // markup and user-defined tokens
  std::vector<std::string> tokens_;
  std::vector<uint8_t> kinds_;
  std::unordered_map<std::string_view, int32_t> ids_;  // keys point into tokens_
  std::vector<int32_t> eos_ids_;
  std::vector<std::string> markup_texts_;
  std::string chat_template_;
  int32_t bos_ = -1, eos_ = -1, pad_ = -1;
  bool add_bos_ = false, nfc_ = false, ignore_merges_ = false;
};

// Whether a model with so many rows in its embedding has one for every token: data_loss otherwise.
Status check_vocabulary(const Tokenizer& tokenizer, int64_t rows);

// Decodes ids as they come. The texts of push() and finish() joined are decode() of all ids: a character that is spread
// over several tokens appears when it is complete. One stream, one thread; the tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = false)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}
  std::string push(int32_t id);
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;  // bytes of an unfinished character
};

}  // namespace landfall
