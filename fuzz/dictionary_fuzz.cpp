// A hostile dictionary, as text and as a packed file. Entries are UTF-8 and not empty.
#include <cstddef>
#include <cstdint>

#include "base/gzip.h"
#include "data/dictionary.h"
#include "model/tokenizer/utf8.h"

using namespace landfall;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const DictionaryEntry& entry : parse_dictionary(text)) {
    LANDFALL_CHECK(!entry.headword.empty() && !entry.text.empty());
    LANDFALL_CHECK(!find_invalid_utf8(entry.text));
  }
  constexpr size_t kLimit = size_t{1} << 20;
  const auto unpacked = gunzip(text, kLimit);
  LANDFALL_CHECK(unpacked.ok() ? unpacked->size() <= kLimit : !unpacked.status().message().empty());
  return 0;
}
