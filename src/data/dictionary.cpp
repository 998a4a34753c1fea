#include "data/dictionary.h"

#include <algorithm>

#include "base/gzip.h"
#include "model/tokenizer/utf8.h"

namespace landfall {
namespace {

constexpr std::string_view kMedicalLabels[] = {"(Med", "(Anat", "(Physiol", "(Surg", "(Pharm", "(Path", "(Obstet"};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// The place behind the bracket that closes the one at `at`; npos when none does within what people put into brackets.
size_t behind_bracket(std::string_view text, size_t at, char opens, char closes) {
  constexpr size_t kLongest = 2000;
  int depth = 0;
  for (const size_t end = std::min(text.size(), at + kLongest); at < end; ++at) {
    if (text[at] == opens) ++depth;
    if (text[at] == closes && --depth == 0) return at + 1;
  }
  return std::string_view::npos;
}

// How a word is spoken: "([a^]b*d[o^]m)".
bool is_pronunciation(std::string_view parenthesis) {
  return parenthesis.find_first_of("[*`\"^") != std::string_view::npos;
}

// A paragraph without pronunciations between backslashes, square brackets, braces, and labels such as <networking>.
// GCIDE writes accents as [e^]; with the bracket the letter is lost, which only etymologies and pronunciations have.
std::string prose_of(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    size_t behind = std::string_view::npos;
    if (c == '\\') {
      const size_t other = text.find('\\', at + 1);
      if (other != std::string_view::npos) behind = other + 1;
    } else if (c == '[') {
      behind = behind_bracket(text, at, '[', ']');
    } else if (c == '(') {
      behind = behind_bracket(text, at, '(', ')');
      if (behind != std::string_view::npos && !is_pronunciation(text.substr(at, behind - at)))
        behind = std::string_view::npos;
    } else if (c == '<' && out.empty()) {
      const size_t other = text.find('>', at);
      if (other != std::string_view::npos) behind = other + 1;
    }
    if (behind != std::string_view::npos) {
      at = behind;
      continue;
    }
    ++at;
    if (c == '{' || c == '}') continue;
    const bool space = c == ' ' || c == '\t';
    if (space && (out.empty() || out.back() == ' ')) continue;
    if ((c == ',' || c == '.' || c == ';') && !out.empty() && out.back() == ' ') out.pop_back();
    out += space ? ' ' : c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// "(1995-03-13)", which ends entries, and rests of marks.
bool has_no_words(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
  });
}

std::string headword_of(std::string_view line) {
  const size_t end = std::min({line.find('\\'), line.find(" ["), line.find(" ("), line.size()});
  std::string out = prose_of(line.substr(0, end));
  return out.empty() ? std::string(line.substr(0, end)) : out;
}

class Entries {
 public:
  std::vector<DictionaryEntry> out;

  void add(std::string_view line) {
    if (line.empty()) {
      end_paragraph();
      after_blank_ = true;
      return;
    }
    const bool heads = line.front() != ' ' && line.front() != '\t';
    if (heads && after_blank_) {
      end();
      headword_ = headword_of(line);
    }
    after_blank_ = false;
    medical_ = medical_ || std::any_of(std::begin(kMedicalLabels), std::end(kMedicalLabels),
                                       [&](std::string_view label) { return contains(line, label); });
    wordnet_ = wordnet_ || contains(line, "[WordNet");
    paragraph_.append(paragraph_.empty() ? "" : " ").append(line);
  }

  void end() {
    end_paragraph();
    // What dictd says about the dictionary itself stands under such headwords.
    if (!text_.empty() && !headword_.empty() && !headword_.starts_with("00-database")) {
      out.push_back({std::move(headword_), std::move(text_), medical_, wordnet_});
    }
    headword_.clear();
    text_.clear();
    medical_ = wordnet_ = false;
  }

 private:
  void end_paragraph() {
    const std::string prose = prose_of(paragraph_);
    paragraph_.clear();
    if (has_no_words(prose)) return;
    text_.append(text_.empty() ? "" : "\n").append(prose);
  }

  std::string headword_, paragraph_, text_;
  bool medical_ = false, wordnet_ = false, after_blank_ = true;
};

}  // namespace

std::vector<DictionaryEntry> parse_dictionary(std::string_view text) {
  const std::string valid = to_valid_utf8(text);
  Entries entries;
  for (size_t at = 0; at < valid.size();) {
    const size_t end = std::min(valid.find('\n', at), valid.size());
    std::string_view line = std::string_view(valid).substr(at, end - at);
    at = end + 1;
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    entries.add(line);
  }
  entries.end();
  return std::move(entries.out);
}

Result<std::vector<DictionaryEntry>> read_dictionary(Env& env, const std::string& folder, const std::string& name) {
  const std::string path = join_path(folder, name + ".dict.dz");
  if (!env.exists(path)) {
    return Status(Code::failed_precondition,
                  "'" + path + "' is not there; the dictionaries are installed by: script/setup --for tide");
  }
  LANDFALL_ASSIGN(const std::string packed, env.read(path, size_t{256} << 20));
  auto text = gunzip(packed, size_t{1} << 30);
  if (!text.ok()) return text.status().within("'" + path + "'");
  return parse_dictionary(*text);
}

}  // namespace landfall
