#include "model/tokenizer/tokenizer.h"

#include <algorithm>

#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/nfc.h"
#include "model/tokenizer/utf8.h"

namespace landfall {
namespace {

enum Kind : uint8_t {
  kWord = 0,          // made by merges; spelled in the byte alphabet
  kLiteral = 1,       // spelled as it is
  kMarkup = 2,        // carries structure
  kHidden = 4,        // not shown to the reader of an answer
  kMatchedWhole = 8,  // found in text before any merge
};

bool is_thinking_tag(std::string_view text) { return text == "<think>" || text == "</think>"; }

// <|im_end|>, <｜User｜>: no text of a person looks like this by chance, whatever type a file states.
bool looks_like_control(std::string_view text) {
  const auto framed = [&](std::string_view open, std::string_view close) {
    return text.size() > open.size() + close.size() && text.starts_with(open) && text.ends_with(close);
  };
  return framed("<|", "|>") || framed("<\xEF\xBD\x9C", "\xEF\xBD\x9C>") || framed("<|", "\xEF\xBD\x9C>");
}

bool looks_like_tag(std::string_view text) { return text.size() > 2 && text.front() == '<' && text.back() == '>'; }

uint8_t kind_of(const std::string& text, int32_t type) {
  switch (type) {
    case kTokenControl:
    case kTokenUnknown:
      return kLiteral | kMarkup | kMatchedWhole | (is_thinking_tag(text) ? 0 : kHidden);
    case kTokenUserDefined: {
      if (looks_like_control(text)) return kLiteral | kMarkup | kMatchedWhole | kHidden;
      return kLiteral | kMatchedWhole | (looks_like_tag(text) ? kMarkup : 0);
    }
    case kTokenUnused:
      return kLiteral | kHidden;
    default:
      if (is_thinking_tag(text)) return kLiteral | kMarkup | kMatchedWhole;
      if (looks_like_control(text)) return kLiteral | kMarkup | kMatchedWhole | kHidden;
      return kWord;
  }
}

// Tokens that end an answer in the published families, beside the ones that the file names.
constexpr std::string_view kEndings[] = {
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|EOT|>",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",
};

constexpr size_t kMaxTokens = size_t{1} << 24;

}  // namespace

struct Tokenizer::PlainRange {
  size_t begin, end;  // not empty; sorted by begin, disjoint
};

Result<Tokenizer> Tokenizer::create(TokenizerSpec spec) {
  const auto damaged = [](const std::string& cause) { return Status(Code::data_loss, "tokenizer: " + cause); };
  const size_t count = spec.tokens.size();
  if (count == 0) return damaged("the file has no vocabulary");
  if (count > kMaxTokens) {
    return damaged(std::to_string(count) + " tokens, at most " + std::to_string(kMaxTokens) + " are allowed");
  }
  if (!spec.types.empty() && spec.types.size() != count) {
    return damaged(std::to_string(spec.types.size()) + " token types for " + std::to_string(count) + " tokens");
  }
  for (const auto& [what, id] : {std::pair{"beginning-of-text", spec.bos}, std::pair{"end-of-text", spec.eos},
                                 std::pair{"end-of-turn", spec.eot}, std::pair{"padding", spec.pad}}) {
    if (id < -1 || id >= static_cast<int64_t>(count)) {
      return damaged("the " + std::string(what) + " token is " + std::to_string(id) + ", but there are " +
                     std::to_string(count) + " tokens");
    }
  }
  std::optional<TextRules> rules = std::move(spec.rules);
  if (!rules) rules = named_text_rules(spec.pre);
  if (!rules) {
    return Status(Code::unsupported,
                  "pre-tokenizer \"" + to_valid_utf8(spec.pre) + "\" is not known; known are " + known_text_rules());
  }

  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(count);
  std::vector<uint8_t> kinds(count);
  std::vector<std::pair<std::string, int32_t>> added;
  for (size_t i = 0; i < count; ++i) {
    const std::string& text = spec.tokens[i];
    const auto id = static_cast<int32_t>(i);
    kinds[i] = kind_of(text, spec.types.empty() ? kTokenNormal : spec.types[i]);
    ids.emplace(text, id);
    // A token that is not UTF-8 can never be met in text.
    if ((kinds[i] & kMatchedWhole) && !find_invalid_utf8(text)) added.emplace_back(text, id);
  }
  LANDFALL_ASSIGN(PreTokenizer pre_tokenizer, PreTokenizer::create(rules->patterns));
  LANDFALL_ASSIGN(Bpe bpe, Bpe::create(ids, spec.merges));

  Tokenizer out(std::move(pre_tokenizer), std::move(bpe));
  out.added_ = TokenMatcher(std::move(added));
  out.tokens_ = std::move(spec.tokens);  // keeps the strings where they are, so the keys of `ids` stay good
  out.ids_ = std::move(ids);
  out.kinds_ = std::move(kinds);
  out.chat_template_ = std::move(spec.chat_template);
  out.bos_ = spec.bos;
  out.eos_ = spec.eos;
  out.pad_ = spec.pad;
  out.add_bos_ = spec.add_bos && spec.bos >= 0;
  out.nfc_ = rules->nfc;
  out.ignore_merges_ = rules->ignore_merges;
  for (const auto& [text, id] : out.added_.tokens()) {
    if (out.is_markup(id)) out.markup_texts_.push_back(text);
  }
  out.find_eos(spec.eos, spec.eot);
  return out;
}

Status check_vocabulary(const Tokenizer& tokenizer, int64_t rows) {
  if (tokenizer.vocab_size() <= rows) return {};
  return Status(Code::data_loss, "the tokenizer has " + std::to_string(tokenizer.vocab_size()) +
                                     " tokens, the model only " + std::to_string(rows) +
                                     "; they do not belong together");
}

void Tokenizer::find_eos(int32_t eos, int32_t eot) {
  for (const int32_t id : {eos, eot}) {
    if (id >= 0) eos_ids_.push_back(id);
  }
  for (const std::string_view text : kEndings) {
    if (const std::optional<int32_t> id = token_id(text)) eos_ids_.push_back(*id);
  }
  std::sort(eos_ids_.begin(), eos_ids_.end());
  eos_ids_.erase(std::unique(eos_ids_.begin(), eos_ids_.end()), eos_ids_.end());
}

void Tokenizer::encode_span(std::string_view text, std::vector<int32_t>& out) const {
  std::string storage;
  if (nfc_) text = to_nfc(text, storage);
  for (const std::string_view piece : pre_tokenizer_.split(text)) {
    if (ignore_merges_) {
      std::string spelling;
      for (const char c : piece) append_utf8(spelling, byte_level_character(static_cast<unsigned char>(c)));
      const auto found = ids_.find(spelling);
      if (found != ids_.end() && kinds_[static_cast<size_t>(found->second)] == kWord) {
        out.push_back(found->second);
        continue;
      }
    }
    bpe_.encode(piece, out);
  }
}

std::vector<int32_t> Tokenizer::encode_marked(std::string_view text, std::span<const PlainRange> plain) const {
  std::vector<int32_t> out;
  size_t done = 0;
  size_t next_plain = 0;  // the first plain range that ends behind `at`
  for (size_t at = 0; at < text.size();) {
    while (next_plain < plain.size() && plain[next_plain].end <= at) ++next_plain;
    const TokenMatcher::Match match = added_.longest(text, at, [&](size_t length, int32_t id) {
      const bool touches_plain = next_plain < plain.size() && plain[next_plain].begin < at + length;
      return !touches_plain || !is_markup(id);
    });
    if (match.id < 0) {
      ++at;
      continue;
    }
    if (at > done) encode_span(text.substr(done, at - done), out);
    out.push_back(match.id);
    at += match.length;
    done = at;
  }
  if (done < text.size()) encode_span(text.substr(done), out);
  return out;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  if (text.empty()) return {};
  if (find_invalid_utf8(text)) return encode(to_valid_utf8(text));
  const PlainRange whole{0, text.size()};
  return encode_marked(text, {&whole, 1});
}

std::vector<int32_t> Tokenizer::encode_with_special(std::string_view text) const {
  if (find_invalid_utf8(text)) return encode_marked(to_valid_utf8(text), {});
  return encode_marked(text, {});
}

std::vector<int32_t> Tokenizer::encode_segments(std::span<const Segment> segments) const {
  std::string text;
  std::vector<PlainRange> plain;
  for (const Segment& segment : segments) {
    const size_t begin = text.size();
    text += to_valid_utf8(segment.text);
    if (!segment.markup && text.size() > begin) plain.push_back({begin, text.size()});
  }
  return encode_marked(text, plain);
}

std::vector<int32_t> Tokenizer::with_bos(std::vector<int32_t> ids) const {
  if (add_bos_ && (ids.empty() || ids.front() != bos_)) ids.insert(ids.begin(), bos_);
  return ids;
}

std::string Tokenizer::token_bytes(int32_t id) const {
  if (!in_range(id)) return {};
  const std::string& text = tokens_[static_cast<size_t>(id)];
  if (kinds_[static_cast<size_t>(id)] & kLiteral) return text;
  // A normal token outside the byte alphabet is meant literally.
  return byte_level_bytes(text).value_or(text);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (!(skip_special && is_special(id))) bytes += token_bytes(id);
  }
  return to_valid_utf8(bytes);
}

std::optional<int32_t> Tokenizer::token_id(std::string_view spelling) const {
  const auto found = ids_.find(spelling);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string& Tokenizer::token_text(int32_t id) const {
  static const std::string kNone;
  return in_range(id) ? tokens_[static_cast<size_t>(id)] : kNone;
}

bool Tokenizer::is_special(int32_t id) const { return in_range(id) && (kinds_[static_cast<size_t>(id)] & kHidden); }
bool Tokenizer::is_markup(int32_t id) const { return in_range(id) && (kinds_[static_cast<size_t>(id)] & kMarkup); }

std::string StreamDecoder::push(int32_t id) {
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  pending_ += tokenizer_->token_bytes(id);
  // Only the end can be an unfinished character: find where, and keep it.
  size_t complete = pending_.size();
  for (size_t back = 1; back <= std::min<size_t>(3, pending_.size()); ++back) {
    const size_t at = pending_.size() - back;
    const Utf8Step step = utf8_step(pending_, at);
    if (step.kind == Utf8Step::incomplete && step.length == back) complete = at;
  }
  std::string out = to_valid_utf8(std::string_view(pending_).substr(0, complete));
  pending_.erase(0, complete);
  return out;
}

std::string StreamDecoder::finish() { return to_valid_utf8(std::exchange(pending_, {})); }

}  // namespace landfall
