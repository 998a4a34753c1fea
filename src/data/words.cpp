#include "data/words.h"

#include "base/counter_random.h"
#include "model/tokenizer/utf8.h"

namespace landfall {
namespace {

// Scripts that are written without spaces: kana, the Han blocks and what lies between them.
bool stands_alone(char32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

bool is_word(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  return c >= 0xC0 && !(c >= 0x2000 && c <= 0x206F) && !(c >= 0x3000 && c <= 0x303F) && !(c >= 0xFF00 && c <= 0xFF0F);
}

}  // namespace

std::vector<uint64_t> word_hashes(std::string_view text) {
  std::vector<uint64_t> out;
  uint64_t word = 0;
  const auto end_word = [&] {
    if (word) out.push_back(word);
    word = 0;
  };
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    at += step.length;
    char32_t c = step.code_point;
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
    if (!is_word(c)) {
      end_word();
    } else if (stands_alone(c)) {
      end_word();
      out.push_back(splitmix64(c));
    } else {
      word = splitmix64(word + c) | 1;
    }
  }
  end_word();
  return out;
}

}  // namespace landfall
