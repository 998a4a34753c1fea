#include "lifecycle/corpus.h"

#include <algorithm>
#include <array>

#include "base/counter_random.h"
#include "base/json.h"
#include "base/text.h"
#include "data/contamination.h"
#include "data/dictionary.h"
#include "data/medical_part.h"
#include "data/ngrams.h"
#include "data/permutation.h"
#include "data/task.h"
#include "data/wordnet.h"
#include "data/words.h"
#include "lifecycle/exercises.h"
#include "lifecycle/store.h"

namespace landfall {
namespace {

constexpr size_t kChoices = 4;
constexpr int64_t kChatDefinitions = 20'000, kFormatRows = 10'000;  // of chat.jsonl
constexpr const char* kManifest = "corpus.json";
// Streams of random numbers, one for each use.
enum Stream : uint64_t { kSplit = 16, kDistractors, kWording, kOrder };

struct Licence {
  const char* source;
  const char* package;
  const char* text;
};
constexpr Licence kLicences[] = {
    {"WordNet 3.0, Princeton University", "wordnet-base",
     "WordNet 3.0 licence: use, copies, changes and distribution for any purpose, with the copyright notice"},
    {"The Collaborative International Dictionary of English (GCIDE)", "dict-gcide",
     "GNU General Public License, version 2 or later"},
    {"The Free On-line Dictionary of Computing, Editor Denis Howe", "dict-foldoc",
     "GNU Free Documentation License, version 1.1 or later"},
};
constexpr const char* kDictionaries[] = {"gcide", "foldoc"};

// The rows of one training file. What holds a run of an item is counted instead.
class TrainingRows {
 public:
  TrainingRows(std::string name, const NgramSet& guarded) : guarded_(guarded) { file.name = std::move(name); }

  void add_text(const std::string& text) {
    if (admits(text)) rows.push_back(Json().set("text", text).dump());
  }
  void add_chat(const std::string& question, const std::string& answer) {
    if (!admits(question + "\n" + answer)) return;
    Json messages{Json::Array{}};
    messages.push(Json().set("role", "user").set("content", question));
    messages.push(Json().set("role", "assistant").set("content", answer));
    rows.push_back(Json().set("messages", std::move(messages)).dump());
  }

  CorpusFile file;
  std::vector<std::string> rows;

 private:
  bool admits(const std::string& text) {
    if (guarded_.found_in(text).empty()) return true;
    ++file.dropped;
    return false;
  }
  const NgramSet& guarded_;
};

// Small letters alone, words and parts of them apart: no names, no taxa.
bool is_common_word(const std::string& lemma) {
  return std::all_of(lemma.begin(), lemma.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == ' ' || c == '-'; });
}

// Whether the definition has a word that begins like one of the lemma's, which would tell it apart by its looks.
bool gives_itself_away(const std::string& lemma, const std::string& definition) {
  constexpr size_t kAlike = 4;  // letters
  const std::string text = ascii_lower(definition);
  for (size_t at = 0; at < lemma.size();) {
    const size_t end = std::min(lemma.find_first_of(" -", at), lemma.size());
    if (end - at >= kAlike && text.find(lemma.substr(at, kAlike)) != std::string::npos) return true;
    at = end + 1;
  }
  return false;
}

// What can be asked about: a common word whose definition is long enough to be known again and does not name it.
bool can_be_asked(const Synset& synset) {
  constexpr size_t kMostWords = 40;
  const size_t words = word_hashes(synset.definition).size();
  return is_common_word(synset.lemmas.front()) && words >= static_cast<size_t>(kNgram) && words <= kMostWords &&
         !gives_itself_away(synset.lemmas.front(), synset.definition);
}

bool share_a_lemma(const Synset& a, const Synset& b) {
  return std::any_of(a.lemmas.begin(), a.lemmas.end(), [&](const std::string& lemma) {
    return std::find(b.lemmas.begin(), b.lemmas.end(), lemma) != b.lemmas.end();
  });
}

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

std::string meaning_question(const Synset& synset) {
  return "What does the " + std::string(name(synset.part)) + " " + quoted(synset.lemmas.front()) + " mean?";
}

// The wrong choices are definitions of other synsets that are set apart too: had they been learned, what was learned
// would tell them from the right one.
std::vector<TaskItem> meaning_items(const std::vector<Synset>& synsets, const std::vector<uint32_t>& held_out,
                                    uint64_t seed) {
  std::vector<TaskItem> out;
  const CounterRandom random(seed, kDistractors);
  for (const uint32_t index : held_out) {
    const Synset& synset = synsets[index];
    std::vector<uint32_t> others;  // candidates, drawn from without putting back
    for (const uint32_t other : held_out) {
      if (other != index && synsets[other].part == synset.part && !share_a_lemma(synset, synsets[other]) &&
          synsets[other].definition != synset.definition)
        others.push_back(other);
    }
    if (others.size() < kChoices - 1) continue;
    TaskItem item;
    item.id = std::string(name(synset.part)) + "-" + std::to_string(synset.offset);
    item.question = meaning_question(synset);
    item.answer = synset.definition;
    for (uint64_t k = 0; k + 1 < kChoices; ++k) {
      const size_t drawn = random.bits(uint64_t{index} * kChoices + k) % others.size();
      item.choices.push_back(synsets[others[drawn]].definition);
      others.erase(others.begin() + static_cast<int64_t>(drawn));
    }
    item.correct = random.bits(uint64_t{index} * kChoices + kChoices - 1) % kChoices;
    item.choices.insert(item.choices.begin() + static_cast<int64_t>(item.correct), item.answer);
    out.push_back(std::move(item));
  }
  return out;
}

std::vector<TaskItem> exercise_items(const std::vector<Exercise>& exercises, const std::string& kind) {
  std::vector<TaskItem> out;
  for (const Exercise& e : exercises) {
    out.push_back({.id = kind + "-" + std::to_string(out.size() + 1), .question = e.question, .answer = e.answer});
  }
  return out;
}

std::string listed(const std::vector<std::string>& texts) {
  std::string out;
  for (size_t i = 0; i < texts.size(); ++i) {
    out += (i == 0 ? "" : i + 1 == texts.size() ? " and " : ", ") + quoted(texts[i]);
  }
  return out;
}

// A synset as a few sentences, worded in one of three ways.
std::string prose_of(const std::vector<Synset>& synsets, const Synset& synset, uint64_t draw) {
  const std::string& lemma = synset.lemmas.front();
  const std::string part(name(synset.part));
  std::string out;
  switch (draw % 3) {
    case 0:
      out = "The " + part + " " + quoted(lemma) + " means " + synset.definition + ".";
      break;
    case 1:
      out = lemma + " (" + part + "): " + synset.definition + ".";
      break;
    default:
      out = "What " + quoted(lemma) + " means, as " + (part.front() == 'a' ? "an " : "a ") + part + ": " +
            synset.definition + ".";
  }
  if (synset.lemmas.size() == 2) out += " Another word for it is " + quoted(synset.lemmas[1]) + ".";
  if (synset.lemmas.size() > 2) {
    out += " Other words for it are " + listed({synset.lemmas.begin() + 1, synset.lemmas.end()}) + ".";
  }
  if (!synset.hypernyms.empty()) {
    const std::string& above = synsets[synset.hypernyms.front()].lemmas.front();
    const bool is_name = lemma.front() >= 'A' && lemma.front() <= 'Z';
    out += synset.part == PartOfSpeech::verb ? " It is a way to " + above + "."
           : is_name                         ? " It is an instance of " + quoted(above) + "."
                                             : " It is a kind of " + above + ".";
  }
  if (!synset.examples.empty()) out += " For example: " + listed(synset.examples) + ".";
  return out;
}

void add_meaning_chat(const Synset& synset, uint64_t draw, TrainingRows& out) {
  const std::string word = quoted(synset.lemmas.front());
  const std::string questions[] = {meaning_question(synset), "What is the meaning of " + word + "?",
                                   "Define the word " + word + "."};
  out.add_chat(questions[draw % 3], synset.definition + ".");
}

struct Split {
  std::vector<uint32_t> general, medical;  // synsets that are set apart, in the order of their items
};

Split split(const std::vector<Synset>& synsets, const std::vector<bool>& medical, const CorpusOptions& options) {
  Split out;
  for (const bool is_medical : {false, true}) {
    std::vector<uint32_t> suitable;
    for (uint32_t i = 0; i < synsets.size(); ++i) {
      if (medical[i] == is_medical && can_be_asked(synsets[i])) suitable.push_back(i);
    }
    const Permutation order(suitable.size(), options.seed, kSplit + is_medical);
    const auto count = std::min<size_t>(static_cast<size_t>(options.items), suitable.size() / 5);
    std::vector<uint32_t>& chosen = is_medical ? out.medical : out.general;
    for (size_t i = 0; i < count; ++i) chosen.push_back(suitable[order(i)]);
  }
  return out;
}

// Words for exercises: those of one word, of four to eight letters, once.
std::vector<std::string> short_words(const std::vector<Synset>& synsets) {
  std::vector<std::string> out;
  for (const Synset& synset : synsets) {
    const std::string& lemma = synset.lemmas.front();
    if (synset.part == PartOfSpeech::noun && lemma.size() >= 4 && lemma.size() <= 8 && is_common_word(lemma) &&
        lemma.find_first_of(" -") == std::string::npos)
      out.push_back(lemma);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Status write_rows(Env& env, const std::string& folder, const std::vector<std::string>& rows, CorpusFile& file) {
  LANDFALL_ASSIGN(const auto out, env.open_output(join_path(folder, file.name), false));
  std::string piece;
  for (const std::string& row : rows) {
    piece.append(row).append("\n");
    ++file.rows;
    file.bytes += row.size() + 1;
    if (piece.size() < (size_t{4} << 20)) continue;
    LANDFALL_TRY(out->append(piece));
    piece.clear();
  }
  LANDFALL_TRY(out->append(piece));
  return out->sync();
}

std::vector<std::string> shuffled(std::vector<std::string> rows, uint64_t seed, uint64_t stream) {
  const Permutation order(rows.size(), seed, stream);
  std::vector<std::string> out(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) out[i] = std::move(rows[order(i)]);
  return out;
}

std::string sources_page(const CorpusReport& report, const CorpusOptions& options) {
  std::string out = "# Sources\n\n| source | package | licence |\n|---|---|---|\n";
  for (const auto& [source, package, licence] : kLicences) {
    out += "| " + std::string(source) + " | " + package + " | " + licence + " |\n";
  }
  out +=
      "\nExercises in arithmetic and form were made up by `landfall corpus`. A model trained on these files is made "
      "from "
      "works under these licences; the package's `/usr/share/doc/PACKAGE/copyright` has each in full.\n\n"
      "| file | rows | bytes | rows dropped |\n|---|---|---|---|\n";
  for (const CorpusFile& file : report.files) {
    out += "| " + file.name + " | " + std::to_string(file.rows) + " | " + std::to_string(file.bytes) + " | " +
           std::to_string(file.dropped) + " |\n";
  }
  return out + "\nDropped: rows that held " + std::to_string(kNgram) +
         " consecutive words of what is asked in `tasks/`, or entries of a dictionary that were taken from an earlier "
         "WordNet. Seed " +
         std::to_string(options.seed) + ".\n";
}

std::string manifest(const CorpusReport& report, const CorpusOptions& options) {
  Json files, dropped;
  for (const CorpusFile& file : report.files) {
    files.set(file.name, Json().set("rows", file.rows).set("bytes", file.bytes));
    dropped.set(file.name, file.dropped);
  }
  return Json().set("seed", options.seed).set("files", std::move(files)).set("dropped", std::move(dropped)).dump(2) +
         "\n";
}

Result<CorpusReport> fill(Env& env, const std::string& folder, const CorpusOptions& options, const Watch& watch) {
  const auto step = [&](const std::string& what) {
    watch.say(what);
    return watch.stop() ? Status(Code::cancelled, "stopped while the corpus was made") : Status();
  };
  LANDFALL_TRY(step("reading WordNet"));
  LANDFALL_ASSIGN(const WordNet wordnet, WordNet::read(env, options.wordnet_folder));
  const std::vector<Synset>& synsets = wordnet.synsets();
  const std::vector<bool> medical = medical_part(wordnet);

  // What is asked, before anything is written that could be learned.
  const Split held_out = split(synsets, medical, options);
  const Exercises arithmetic = arithmetic_exercises(options.seed, options.items);
  const Exercises format = format_exercises(short_words(synsets), options.seed, options.items, kFormatRows);
  const std::array<std::pair<const char*, std::vector<TaskItem>>, 4> tasks = {{
      {"tasks/definitions.jsonl", meaning_items(synsets, held_out.general, options.seed)},
      {"tasks/medicine.jsonl", meaning_items(synsets, held_out.medical, options.seed)},
      {"tasks/arithmetic.jsonl", exercise_items(arithmetic.held_out, "arithmetic")},
      {"tasks/format.jsonl", exercise_items(format.held_out, "format")},
  }};
  NgramSet guarded(static_cast<size_t>(kNgram));
  std::vector<bool> apart(synsets.size());
  for (const auto* side : {&held_out.general, &held_out.medical}) {
    for (const uint32_t i : *side) {
      apart[i] = true;
      guarded.add(synsets[i].definition);
      for (const std::string& example : synsets[i].examples) {
        if (word_hashes(example).size() >= static_cast<size_t>(kNgram)) guarded.add(example);
      }
    }
  }
  for (const auto& [name, items] : tasks) {
    for (const TaskItem& item : items) guarded.add(telling_text(item, kNgram));
  }

  LANDFALL_TRY(step("writing WordNet as prose"));
  TrainingRows general("general.jsonl", guarded), medicine("medicine.jsonl", guarded), chat("chat.jsonl", guarded),
      medicine_chat("medicine_chat.jsonl", guarded);
  const CounterRandom wording(options.seed, kWording);
  std::vector<uint32_t> learned;  // outside medicine
  for (uint32_t i = 0; i < synsets.size(); ++i) {
    if (apart[i] || synsets[i].definition.empty()) continue;
    (medical[i] ? medicine : general).add_text(prose_of(synsets, synsets[i], wording.bits(2 * uint64_t{i})));
    if (medical[i])
      add_meaning_chat(synsets[i], wording.bits(2 * uint64_t{i} + 1), medicine_chat);
    else
      learned.push_back(i);
  }
  const Permutation pick(learned.size(), options.seed, kWording);
  for (size_t k = 0; k < std::min<size_t>(kChatDefinitions, learned.size()); ++k) {
    const uint32_t i = learned[pick(k)];
    add_meaning_chat(synsets[i], wording.bits(2 * uint64_t{i} + 1), chat);
  }
  for (const auto* side : {&arithmetic.training, &format.training}) {
    for (const Exercise& e : *side) chat.add_chat(e.question, e.answer);
  }

  LANDFALL_TRY(step("reading dictionaries"));
  for (const char* name : kDictionaries) {
    LANDFALL_ASSIGN(const auto entries, read_dictionary(env, options.dictionary_folder, name));
    for (const DictionaryEntry& entry : entries) {
      TrainingRows& rows = entry.medical ? medicine : general;
      if (entry.wordnet)
        ++rows.file.dropped;  // almost the words of what may be set apart
      else
        rows.add_text(entry.text);
    }
    LANDFALL_TRY(step(std::string(name) + ": " + std::to_string(entries.size()) + " entries"));
  }

  LANDFALL_TRY(env.make_directories(join_path(folder, "tasks")));
  CorpusReport report;
  uint64_t stream = kOrder;
  for (TrainingRows* rows : {&general, &medicine, &chat, &medicine_chat}) {
    LANDFALL_TRY(write_rows(env, folder, shuffled(std::move(rows->rows), options.seed, stream++), rows->file));
    report.files.push_back(rows->file);
  }
  for (const auto& [name, items] : tasks) {
    std::vector<std::string> rows;
    for (const TaskItem& item : items) rows.push_back(task_row(item));
    CorpusFile file{.name = name};
    LANDFALL_TRY(write_rows(env, folder, rows, file));
    report.files.push_back(file);
  }
  LANDFALL_TRY(write_file(env, join_path(folder, "SOURCES.md"), sources_page(report, options)));
  LANDFALL_TRY(write_file(env, join_path(folder, kManifest), manifest(report, options)));
  LANDFALL_TRY(env.sync_folder(join_path(folder, "tasks")));
  LANDFALL_TRY(env.sync_folder(folder));
  return report;
}

}  // namespace

Result<CorpusReport> write_corpus(Env& env, const std::string& path, const CorpusOptions& options, const Watch& watch) {
  const std::string folder = path.substr(0, path.find_last_not_of('/') + 1);
  const bool replaces = env.exists(folder);
  if (replaces && !env.exists(join_path(folder, kManifest))) {
    return Status(Code::failed_precondition,
                  "'" + folder + "' is there already and is no corpus; give another --out, or remove it");
  }
  const std::string staging = folder + ".partial", replaced = folder + ".replaced";
  for (const std::string& rest : {staging, replaced}) LANDFALL_TRY(remove_tree(env, rest));
  LANDFALL_TRY(env.make_directories(staging));
  auto report = fill(env, staging, options, watch);
  Status done = report.status();
  if (done.ok() && replaces) done = env.rename(folder, replaced);
  if (done.ok()) done = env.rename(staging, folder);
  if (!done.ok()) {
    if (replaces && !env.exists(folder)) (void)env.rename(replaced, folder).ok();
    (void)remove_tree(env, staging).ok();
    return done;
  }
  LANDFALL_TRY(remove_tree(env, replaced));
  return report;
}

}  // namespace landfall
