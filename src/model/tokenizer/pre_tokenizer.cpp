#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizer/pre_tokenizer.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "model/tokenizer/expression_dialect.h"
#include "model/tokenizer/unicode_stand_ins.h"
#include "model/tokenizer/utf8.h"

namespace landfall {
namespace {

constexpr std::string_view kLineBreak = R"([\r\n])";
constexpr std::string_view kIdeographs = R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";

constexpr std::string_view kLlmLetters =
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"
    R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139})"
    R"(\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr std::string_view kLlmPunctuation =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)";

constexpr std::string_view kV3Kana = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr std::string_view kV3Words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kQwenWords = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                                        R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Words = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
                                          R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct NamedRules {
  std::string_view name;
  std::vector<std::string_view> patterns;
  bool nfc = false;
  bool ignore_merges = false;
};

const std::vector<NamedRules>& table() {
  static const std::vector<NamedRules> kTable = {
      {"deepseek-llm", {kLineBreak, kLlmLetters, kLlmPunctuation, R"(\s+$)", kIdeographs, kDigitPattern}},
      {"deepseek-coder", {kLineBreak, R"(\s?\p{L}+)", R"(\s?\p{P}+)", kIdeographs, kDigitPattern}},
      {"deepseek-v3", {R"(\p{N}{1,3})", kV3Kana, kV3Words}},
      {"deepseek-r1-qwen", {kQwenWords}, true},
      {"qwen2", {kQwenWords}, true},
      {"llama-bpe", {kLlama3Words}, false, true},
      {"smollm", {kDigitPattern, kGpt2Pattern}},
      {"gpt-2", {kGpt2Pattern}},
  };
  return kTable;
}

struct Alias {
  std::string_view alias, name;
};

constexpr Alias kAliases[] = {
    {"", "gpt-2"},  // files older than the key
    {"default", "gpt-2"},
    {"gpt2", "gpt-2"},
    {"llama3", "llama-bpe"},
    {"llama-v3", "llama-bpe"},
    {"joyai-llm", "deepseek-v3"},
    {"hunyuan-dense", "deepseek-v3"},
    {"starcoder", "smollm"},
    {"megrez", "qwen2"},
};

// Oniguruma and PCRE2 read the same syntax here but for two things: `$` ends a line in Oniguruma (PCRE2_MULTILINE), and
// \s+$ tries every start within a run of spaces, which takes quadratic time; starting only where a run starts finds the
// same matches in pieces without line breaks.
std::string adapted(std::string_view pattern) { return pattern == R"(\s+$)" ? R"((?<!\s)\s+$)" : std::string(pattern); }

// The same expression in one spelling: files have the characters themselves where the table has their numbers, and line
// breaks both ways.
std::string one_spelling(std::string_view pattern) {
  std::string out;
  while (!pattern.empty()) {
    const size_t close = pattern.starts_with(R"(\x{)") ? pattern.find('}') : std::string_view::npos;
    uint32_t character = 0;
    if (close != std::string_view::npos &&
        std::from_chars(pattern.data() + 3, pattern.data() + close, character, 16).ptr == pattern.data() + close &&
        character >= 0x80) {
      append_utf8(out, character);
      pattern.remove_prefix(close + 1);
      continue;
    }
    switch (pattern[0]) {
      case '\r':
        out += "\\r";
        break;
      case '\n':
        out += "\\n";
        break;
      default:
        out += pattern[0];
    }
    pattern.remove_prefix(1);
  }
  return out;
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeCompile {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

}  // namespace

const std::string_view kDigitPattern = R"([\p{N}\x{E0020}])";
const std::string_view kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::optional<TextRules> named_text_rules(std::string_view name) {
  for (const Alias& alias : kAliases) {
    if (alias.alias == name) {
      name = alias.name;
      break;
    }
  }
  for (const NamedRules& row : table()) {
    if (row.name == name) return TextRules{{row.patterns.begin(), row.patterns.end()}, row.nfc, row.ignore_merges};
  }
  return std::nullopt;
}

std::optional<std::string_view> name_of_text_rules(const TextRules& rules) {
  for (const NamedRules& row : table()) {
    const bool same = std::equal(row.patterns.begin(), row.patterns.end(), rules.patterns.begin(), rules.patterns.end(),
                                 [](auto a, const auto& b) { return one_spelling(a) == one_spelling(b); });
    if (same && row.nfc == rules.nfc && row.ignore_merges == rules.ignore_merges) return row.name;
  }
  return std::nullopt;
}

std::string known_text_rules() {
  std::string out;
  for (const NamedRules& row : table()) out.append(out.empty() ? "" : ", ").append(row.name);
  return out;
}

struct PreTokenizer::Expression {
  std::unique_ptr<pcre2_code, FreeCode> code;

  // Whether the expression matches `subject` from `start` on, with the match in the data. When the fast matcher runs
  // out of its small stack, the slower one takes over with limits that linear backtracking over the subject stays
  // within. False, too, once those are passed.
  bool find(std::string_view subject, size_t start, pcre2_match_data* match) const {
    const auto text = reinterpret_cast<PCRE2_SPTR>(subject.data());
    int found = pcre2_match(code.get(), text, subject.size(), start, PCRE2_NO_UTF_CHECK, match, nullptr);
    if (found >= 0 || found == PCRE2_ERROR_NOMATCH) return found >= 0;
    std::unique_ptr<pcre2_match_context, FreeContext> context(pcre2_match_context_create(nullptr));
    if (!context) return false;
    const size_t limit = std::min<size_t>(10'000'000 + 16 * subject.size(), UINT32_MAX);
    pcre2_set_match_limit(context.get(), static_cast<uint32_t>(limit));
    pcre2_set_heap_limit(context.get(), 1u << 20);  // KiB
    found =
        pcre2_match(code.get(), text, subject.size(), start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, match, context.get());
    return found >= 0;
  }
};

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::create(const std::vector<std::string>& patterns) {
  std::unique_ptr<pcre2_compile_context, FreeCompile> context(pcre2_compile_context_create(nullptr));
  if (!context) return Status(Code::resource_exhausted, "no memory for the tokenizer's expressions");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_max_pattern_length(context.get(), 1 << 16);
  PreTokenizer out;
  for (const std::string& pattern : patterns) {
    const auto fail = [&](std::string_view cause) {
      return Status(Code::unsupported, "cannot use the tokenizer's expression \"" +
                                           to_valid_utf8(std::string_view(pattern).substr(0, 200)) +
                                           "\": " + std::string(cause));
    };
    if (find_invalid_utf8(pattern)) return fail("it is not UTF-8");
    if (const Status dialect = check_expression_dialect(pattern); !dialect.ok()) return fail(dialect.message());
    const std::string source = adapted(pattern);
    int error = 0;
    size_t at = 0;
    constexpr uint32_t kOptions =
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_UTF_CHECK;
    pcre2_code* code =
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.data()), source.size(), kOptions, &error, &at, context.get());
    if (!code) {
      std::array<PCRE2_UCHAR, 256> text{};
      pcre2_get_error_message(error, text.data(), text.size());
      return fail(std::string(reinterpret_cast<const char*>(text.data())) + " at offset " + std::to_string(at));
    }
    out.expressions_.emplace_back().code.reset(code);
    // Where the system forbids generated code this fails, and matching is interpreted.
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  }
  return out;
}

std::vector<std::string_view> PreTokenizer::split(std::string_view text) const {
  if (text.empty()) return {};
  std::string storage;
  const std::string_view subject = with_stand_ins(text, storage);
  struct Range {
    size_t begin, end;
  };
  std::vector<Range> ranges = {{0, text.size()}}, next;
  std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  if (!match) return {text};
  const size_t* bounds = pcre2_get_ovector_pointer(match.get());
  for (const Expression& expression : expressions_) {
    next.clear();
    for (const Range& range : ranges) {
      const std::string_view piece = subject.substr(range.begin, range.end - range.begin);
      size_t done = 0, from = 0;  // cut up to `done`; the search goes on at `from`
      while (from < piece.size() && expression.find(piece, from, match.get())) {
        const size_t begin = bounds[0], end = bounds[1];
        if (begin < done || end < begin) break;  // \K can move a match's start backwards or behind its end
        if (begin > done) next.push_back({range.begin + done, range.begin + begin});
        if (end > begin) next.push_back({range.begin + begin, range.begin + end});
        done = end;
        from = end > begin ? end : end < piece.size() ? end + utf8_length(piece[end]) : end + 1;
      }
      if (done < piece.size()) next.push_back({range.begin + done, range.end});
    }
    std::swap(ranges, next);
  }
  std::vector<std::string_view> out;
  out.reserve(ranges.size());
  for (const Range& range : ranges) out.push_back(text.substr(range.begin, range.end - range.begin));
  return out;
}

}  // namespace landfall
