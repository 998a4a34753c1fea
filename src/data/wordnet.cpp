#include "data/wordnet.h"

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/text.h"

namespace landfall {
namespace {

struct PartFile {
  PartOfSpeech part;
  const char* file;
};
constexpr PartFile kFiles[] = {{PartOfSpeech::noun, "data.noun"},
                               {PartOfSpeech::verb, "data.verb"},
                               {PartOfSpeech::adjective, "data.adj"},
                               {PartOfSpeech::adverb, "data.adv"}};

// A synset's key over all files.
uint64_t key_of(PartOfSpeech part, uint32_t offset) { return uint64_t{static_cast<uint8_t>(part)} << 32 | offset; }

struct Pointer {
  uint32_t from;  // index
  bool topic;
  uint64_t to;  // key
};

// The fields of one line, which single spaces separate.
class Fields {
 public:
  explicit Fields(std::string_view line) : rest_(line) {}

  bool next(std::string_view& out) {
    const size_t end = std::min(rest_.find(' '), rest_.size());
    out = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return !out.empty();
  }
  bool number(uint32_t& out, int base, size_t digits) {
    std::string_view field;
    if (!next(field) || field.size() != digits) return false;
    const auto [end, fault] = std::from_chars(field.data(), field.data() + field.size(), out, base);
    return fault == std::errc() && end == field.data() + field.size();
  }

 private:
  std::string_view rest_;
};

bool part_of(std::string_view type, PartOfSpeech& out) {
  if (type == "n")
    out = PartOfSpeech::noun;
  else if (type == "v")
    out = PartOfSpeech::verb;
  else if (type == "a" || type == "s")
    out = PartOfSpeech::adjective;
  else if (type == "r")
    out = PartOfSpeech::adverb;
  else
    return false;
  return true;
}

// "galore(ip)" -> "galore", "ice_cream" -> "ice cream"
std::string lemma_of(std::string_view word) {
  if (word.ends_with(')')) word = word.substr(0, word.rfind('('));
  std::string out(word);
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

// Semicolons outside quotation marks separate the parts; one that begins with a mark is an example.
void read_gloss(std::string_view gloss, Synset& out) {
  bool quoted = false;
  for (size_t begin = 0, at = 0; at <= gloss.size(); ++at) {
    if (at < gloss.size() && gloss[at] == '"') quoted = !quoted;
    if (at < gloss.size() && (gloss[at] != ';' || quoted)) continue;
    const std::string_view part = trimmed(gloss.substr(begin, at - begin));
    begin = at + 1;
    if (part.empty()) continue;
    if (part.front() != '"') {
      out.definition.append(out.definition.empty() ? "" : "; ").append(part);
      continue;
    }
    const size_t last = part.rfind('"');  // behind it an author may stand
    const std::string_view example = trimmed(part.substr(1, (last == 0 ? part.size() : last) - 1));
    if (!example.empty()) out.examples.emplace_back(example);
  }
}

bool read_line(std::string_view line, PartOfSpeech part, uint32_t index, Synset& out, std::vector<Pointer>& pointers) {
  const size_t bar = line.find(" | ");
  if (bar == std::string_view::npos) return false;
  Fields fields(line.substr(0, bar));
  std::string_view type, word;
  uint32_t file = 0, words = 0, lexical_id = 0, count = 0;
  if (!fields.number(out.offset, 10, 8) || !fields.number(file, 10, 2) || !fields.next(type) ||
      !part_of(type, out.part) || out.part != part || !fields.number(words, 16, 2) || words == 0)
    return false;
  out.lexicographer_file = static_cast<int>(file);
  for (uint32_t i = 0; i < words; ++i) {
    if (!fields.next(word) || !fields.number(lexical_id, 16, 1)) return false;
    out.lemmas.push_back(lemma_of(word));
    if (out.lemmas.back().empty()) return false;
  }
  if (!fields.number(count, 10, 3)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    std::string_view symbol, other;
    PartOfSpeech other_part;
    uint32_t offset = 0, source_target = 0;
    if (!fields.next(symbol) || !fields.number(offset, 10, 8) || !fields.next(other) || !part_of(other, other_part) ||
        !fields.number(source_target, 16, 4))
      return false;
    if (symbol == "@" || symbol == "@i" || symbol == ";c") {
      pointers.push_back({index, symbol == ";c", key_of(other_part, offset)});
    }
  }
  read_gloss(line.substr(bar + 3), out);
  return true;
}

}  // namespace

std::string_view name(PartOfSpeech part) {
  constexpr std::string_view kNames[] = {"noun", "verb", "adjective", "adverb"};
  return kNames[static_cast<size_t>(part)];
}

Result<WordNet> WordNet::read(Env& env, const std::string& folder) {
  WordNet out;
  std::vector<Pointer> pointers;
  std::unordered_map<uint64_t, uint32_t> index_of;
  for (const auto& [part, file] : kFiles) {
    const std::string path = join_path(folder, file);
    if (!env.exists(path)) {
      return Status(Code::failed_precondition,
                    "'" + path + "' is not there; WordNet is installed by: script/setup --for tide");
    }
    LANDFALL_ASSIGN(const std::string text, env.read(path, size_t{256} << 20));
    uint64_t number = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line = std::string_view(text).substr(at, end - at);
      at = end + 1;
      ++number;
      if (line.empty() || line.front() == ' ') continue;  // the licence stands there
      Synset synset;
      const auto index = static_cast<uint32_t>(out.synsets_.size());
      if (!read_line(line, part, index, synset, pointers) ||
          !index_of.emplace(key_of(part, synset.offset), index).second) {
        return Status(Code::data_loss, "'" + path + "' line " + std::to_string(number) +
                                           " is not a synset of wndb(5WN), or one that was there already; install the "
                                           "package wordnet-base anew");
      }
      out.synsets_.push_back(std::move(synset));
    }
  }
  for (const Pointer& pointer : pointers) {
    const auto found = index_of.find(pointer.to);
    Synset& from = out.synsets_[pointer.from];
    if (found == index_of.end()) {
      return Status(Code::data_loss, "the synset of '" + from.lemmas.front() + "' points to one that is not there; '" +
                                         folder + "' is damaged: install the package wordnet-base anew");
    }
    (pointer.topic ? from.topics : from.hypernyms).push_back(found->second);
  }
  return out;
}

}  // namespace landfall
