// Cutting text into the pieces within which byte pairs may merge: a sequence of regular expressions, each applied to
// the pieces that the one before left; a match becomes a piece of its own, and so does the text between matches.
// Immutable after create(); safe from any thread (match state is per call). The expressions come from model files, so
// matching is bounded: when an expression exceeds its limit, the rest of that piece stays whole.
// The expressions are written for Oniguruma and run by PCRE2; how the two are made to agree, and on characters newer
// than the PCRE2 at hand too, is told in pre_tokenizer.cpp and unicode_stand_ins.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace landfall {

// How a published tokenizer prepares text for byte-pair merging.
struct TextRules {
  std::vector<std::string> patterns;
  bool nfc = false;            // compose characters first
  bool ignore_merges = false;  // a piece that is a token needs no merges
};

// The rules of a published pre-tokenizer, by the name that GGUF files use; nothing for an unknown name.
std::optional<TextRules> named_text_rules(std::string_view name);
// The name of rules that some file spells out; nothing where GGUF files have none for them.
std::optional<std::string_view> name_of_text_rules(const TextRules& rules);
// Those names, for messages.
std::string known_text_rules();

// The expression of the published "Digits" step: numbers, and the stand-in for what is one to that step alone.
extern const std::string_view kDigitPattern;
// The expression that the published "ByteLevel" step splits by.
extern const std::string_view kGpt2Pattern;

class PreTokenizer {
 public:
  // Errors quote the pattern and the place of its fault.
  static Result<PreTokenizer> create(const std::vector<std::string>& patterns);

  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // The pieces of `text`, which must be valid UTF-8, in order; together they are the text.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  struct Expression;
  PreTokenizer();
  std::vector<Expression> expressions_;
};

}  // namespace landfall
