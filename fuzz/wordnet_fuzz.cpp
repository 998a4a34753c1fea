// Hostile files of WordNet: the input is cut into the four at lines of "=". What is read keeps its indices in bounds.
#include <cstddef>
#include <cstdint>

#include "data/medical_part.h"
#include "data/wordnet.h"
#include "memory_env.h"

using namespace landfall;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  MemoryEnv env;
  for (const char* file : {"w/data.noun", "w/data.verb", "w/data.adj", "w/data.adv"}) {
    const size_t end = std::min(rest.find("=\n"), rest.size());
    env.add(file, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 2, rest.size()));
  }
  const auto wordnet = WordNet::read(env, "w");
  if (!wordnet.ok()) {
    LANDFALL_CHECK(!wordnet.status().message().empty());
    return 0;
  }
  for (const Synset& synset : wordnet->synsets()) {
    LANDFALL_CHECK(!synset.lemmas.empty() && !synset.lemmas.front().empty());
    for (const uint32_t i : synset.hypernyms) LANDFALL_CHECK(i < wordnet->synsets().size());
    for (const uint32_t i : synset.topics) LANDFALL_CHECK(i < wordnet->synsets().size());
  }
  LANDFALL_CHECK(medical_part(*wordnet).size() == wordnet->synsets().size());
  return 0;
}
