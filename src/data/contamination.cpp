#include "data/contamination.h"

#include <algorithm>
#include <unordered_map>

#include "data/examples.h"
#include "data/ngrams.h"
#include "data/words.h"

namespace landfall {
namespace {

struct Place {
  size_t file = 0;
  uint64_t line = 0;
};

// All that a model reads of an example.
std::string text_of(const Example& example) {
  std::string out = example.text;
  const auto add = [&](const ChatMessage& message) {
    for (const std::string* part : {&message.reasoning, &message.content}) {
      if (!part->empty()) out.append(out.empty() ? "" : "\n").append(*part);
    }
  };
  for (const ChatMessage& message : example.messages) add(message);
  add(example.chosen);
  add(example.rejected);
  return out;
}

}  // namespace

std::string telling_text(const TaskItem& item, int64_t ngram) {
  const bool long_enough = static_cast<int64_t>(word_hashes(item.answer).size()) >= ngram;
  return !item.choices.empty() && long_enough ? item.answer : item.question + "\n" + item.answer;
}

Result<std::vector<Contamination>> find_contamination(Env& env, const std::vector<Task>& tasks,
                                                      const std::vector<std::string>& files, int64_t ngram,
                                                      const std::function<bool(uint64_t, uint64_t)>& progress) {
  NgramSet wanted(static_cast<size_t>(ngram));
  std::vector<std::vector<std::vector<uint64_t>>> runs(tasks.size());  // by task and item
  for (size_t t = 0; t < tasks.size(); ++t) {
    for (const TaskItem& item : tasks[t].items) runs[t].push_back(wanted.add(telling_text(item, ngram)));
  }
  uint64_t rows = 0;
  std::unordered_map<uint64_t, Place> places;  // of the runs that were found
  LANDFALL_ASSIGN(ExampleReader reader, ExampleReader::open(env, files));
  Example example;
  while (true) {
    LANDFALL_ASSIGN(const bool more, reader.next(example));
    if (!more) break;
    ++rows;
    for (const uint64_t run : wanted.found_in(text_of(example))) places.emplace(run, Place{example.file, example.line});
    if (progress && !progress(reader.bytes_read(), reader.bytes()))
      return Status(Code::cancelled, "stopped while training data were read");
  }
  std::vector<Contamination> out(tasks.size());
  for (size_t t = 0; t < tasks.size(); ++t) {
    out[t].rows = rows;
    for (size_t i = 0; i < runs[t].size(); ++i) {
      Contamination::Item item{.index = i, .runs = static_cast<int64_t>(runs[t][i].size())};
      for (const uint64_t run : runs[t][i]) {
        const auto place = places.find(run);
        if (place == places.end()) continue;
        if (item.found++ > 0) continue;
        item.file = files[place->second.file];
        item.line = place->second.line;
      }
      if (item.found > 0) out[t].found.push_back(std::move(item));
    }
    std::stable_sort(out[t].found.begin(), out[t].found.end(),
                     [](const auto& a, const auto& b) { return a.share() > b.share(); });
  }
  return out;
}

}  // namespace landfall
