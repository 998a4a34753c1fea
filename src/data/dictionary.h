// Dictionaries for people in dictd's form (dict-gcide, dict-foldoc), read as plain prose. The form: entries whose
// headwords begin at the left margin and whose text is indented, separated by blank lines. dictd's index only finds
// places in that text, so it is not read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"

namespace landfall {

struct DictionaryEntry {
  std::string headword;
  std::string text;      // paragraphs of one line each, the first begins with the headword; UTF-8
  bool medical = false;  // a label says so: (Med.), (Anat.), (Physiol.), (Surg.), (Pharm.), ...
  bool wordnet = false;  // taken over from an earlier WordNet, says its mark
};

// Left out are pronunciations, etymologies, marks of source and markup. Text that is not UTF-8 gets U+FFFD.
std::vector<DictionaryEntry> parse_dictionary(std::string_view text);

// <folder>/<name>.dict.dz. A missing one is failed_precondition with the command that installs it, a damaged one
// data_loss.
Result<std::vector<DictionaryEntry>> read_dictionary(Env& env, const std::string& folder, const std::string& name);

}  // namespace landfall
