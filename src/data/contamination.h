// Whether a model could have seen the answers: runs of words that items of an examination share with the files that it
// was trained on. After the n-gram reports that language models are published with (Brown et al., arXiv 2005.14165,
// appendix C), whose runs are of 8 to 13 words.
//
// Of an item, that text is looked for which gives the answer away: of multiple choice the right choice, if it has n
// words at least; otherwise question and answer behind each other. Runs of n words of it, or the whole where it is
// shorter.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "data/task.h"

namespace landfall {

inline constexpr int64_t kNgram = 8;  // words

std::string telling_text(const TaskItem& item, int64_t ngram);

struct Contamination {
  struct Item {
    size_t index = 0;             // of the task's items
    int64_t runs = 0, found = 0;  // of them in the files
    std::string file;             // where the first one stands
    uint64_t line = 0;
    double share() const { return static_cast<double>(found) / static_cast<double>(runs); }
  };
  std::vector<Item> found;  // items with a run in the files, the largest share first
  uint64_t rows = 0;        // that were read
};

// One for each task. The files are those that training reads (data/examples.h). `progress` as in TokenDatasetOptions:
// false stops it (cancelled).
Result<std::vector<Contamination>> find_contamination(Env& env, const std::vector<Task>& tasks,
                                                      const std::vector<std::string>& files, int64_t ngram,
                                                      const std::function<bool(uint64_t, uint64_t)>& progress);

}  // namespace landfall
