#include "data/medical_part.h"

#include <algorithm>
#include <string_view>

namespace landfall {
namespace {

constexpr std::string_view kRoots[] = {"ill health",
                                       "symptom",
                                       "injury",
                                       "body part",
                                       "body substance",
                                       "medical procedure",
                                       "medical care",
                                       "medicinal drug",
                                       "medical instrument",
                                       "health facility",
                                       "health professional",
                                       "medical man",
                                       "medical science",
                                       "anatomy",
                                       "physiology"};

bool is_root(const Synset& synset) {
  return synset.part == PartOfSpeech::noun &&
         std::any_of(synset.lemmas.begin(), synset.lemmas.end(), [](const std::string& lemma) {
           return std::find(std::begin(kRoots), std::end(kRoots), lemma) != std::end(kRoots);
         });
}

}  // namespace

std::vector<bool> medical_part(const WordNet& wordnet) {
  const std::vector<Synset>& synsets = wordnet.synsets();
  std::vector<std::vector<uint32_t>> below(synsets.size());
  std::vector<bool> out(synsets.size());
  std::vector<uint32_t> open;  // whose lower ones have not been looked at
  for (uint32_t i = 0; i < synsets.size(); ++i) {
    for (const uint32_t above : synsets[i].hypernyms) below[above].push_back(i);
    if (!is_root(synsets[i])) continue;
    out[i] = true;
    open.push_back(i);
  }
  while (!open.empty()) {
    const uint32_t at = open.back();
    open.pop_back();
    for (const uint32_t lower : below[at]) {
      if (out[lower]) continue;
      out[lower] = true;
      open.push_back(lower);
    }
  }
  const std::vector<bool> by_kind = out;
  for (size_t i = 0; i < synsets.size(); ++i) {
    for (const uint32_t topic : synsets[i].topics) out[i] = out[i] || by_kind[topic];
  }
  return out;
}

}  // namespace landfall
