// Open text from distribution packages, made into what a model is trained on and what it is examined with. Sources:
// WordNet (data/wordnet.h) and the dictionaries of data/dictionary.h; exercises are made up here. What is
// written depends on the packages and the seed alone, to the byte.
//
//   general.jsonl         {"text"}: dictionary entries, and WordNet's words outside medicine as prose
//   medicine.jsonl        {"text"}: the same for the medical part (data/medical_part.h) and for medical entries
//   chat.jsonl            {"messages"}: what a word means (outside medicine), arithmetic, following a form
//   medicine_chat.jsonl   {"messages"}: what a medical word means
//   tasks/definitions.jsonl, tasks/medicine.jsonl      multiple choice: what a word means, of four definitions
//   tasks/arithmetic.jsonl, tasks/format.jsonl         answers that must be met exactly
//   SOURCES.md            what came from where under which licence, and what was dropped
//   corpus.json           {"seed", "files": {name: {"rows", "bytes"}}, "dropped": {name: rows}}
//
// Rows of the first four stand in an order drawn from the seed, and so do the items of a task: its first n are a fair
// sample. Items have the format of data/task.h. They are set apart by synset before any training text
// is written, and no row of the first four files holds eight consecutive words of a definition or example of a synset
// that is set apart, nor the question and answer of an exercise: rows that do are dropped and counted, and so are
// entries that a dictionary took from an earlier WordNet, whose words differ too little from what may be set apart. The
// wrong choices of an item are definitions of synsets that are set apart too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "lifecycle/watch.h"

namespace landfall {

struct CorpusOptions {
  std::string wordnet_folder = "/usr/share/wordnet";
  std::string dictionary_folder = "/usr/share/dictd";
  uint64_t seed = 0;
  int64_t items = 1000;  // of each task at most; a fifth of what is suitable, where that is less
};

struct CorpusFile {
  std::string name;  // below the folder
  uint64_t rows = 0;
  uint64_t bytes = 0;
  uint64_t dropped = 0;  // rows that would have held what an item asks for
};

struct CorpusReport {
  std::vector<CorpusFile> files;
};

// Writes the folder `path` beside itself and puts it in its place when it is whole; an earlier corpus there is
// replaced, any other content is failed_precondition. A missing package is failed_precondition with the command that
// installs it.
Result<CorpusReport> write_corpus(Env& env, const std::string& path, const CorpusOptions& options, const Watch& watch);

}  // namespace landfall
