// WordNet's database files: synsets, which are sets of words of one meaning, with a gloss and pointers to each other.
// Format: wndb(5WN) of WordNet 3.0; the package wordnet-base has the files in /usr/share/wordnet. Immutable after
// read(); safe from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"

namespace landfall {

enum class PartOfSpeech : uint8_t { noun, verb, adjective, adverb };
std::string_view name(PartOfSpeech part);  // "noun", ...

struct Synset {
  PartOfSpeech part = PartOfSpeech::noun;
  uint32_t offset = 0;              // in its file, which identifies it there
  int lexicographer_file = 0;       // lexnames(5WN), 0 to 99
  std::vector<std::string> lemmas;  // with spaces, without markers; the usual one first
  std::string definition;           // the gloss without its examples
  std::vector<std::string> examples;
  std::vector<uint32_t> hypernyms;  // what it is a kind or an instance of, by index
  std::vector<uint32_t> topics;     // the domains that it belongs to, by index
};

class WordNet {
 public:
  // data.noun, data.verb, data.adj and data.adv of a folder, in this order. A missing file is failed_precondition with
  // the command that installs it; what does not follow the format is data_loss with file and line.
  static Result<WordNet> read(Env& env, const std::string& folder);

  const std::vector<Synset>& synsets() const { return synsets_; }

 private:
  std::vector<Synset> synsets_;
};

}  // namespace landfall
