#include "model/tokenizer/placeholder.h"

#include <string>

#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/tokenizer_spec.h"
#include "model/tokenizer/utf8.h"

namespace landfall {

void add_placeholder_tokenizer(Json& metadata, int64_t vocab, std::string_view pre_tokenizer) {
  LANDFALL_CHECK(vocab >= 1024, std::to_string(vocab));
  Json::Array tokens, types, merges;
  auto byte = [](int value) {
    std::string out;
    append_utf8(out, byte_level_character(static_cast<unsigned char>(value)));
    return out;
  };
  for (int value = 0; value < 256; ++value) tokens.push_back(byte(value));
  auto merge = [&](const std::string& left, const std::string& right) {
    tokens.push_back(left + right);
    merges.push_back(left + " " + right);
  };
  constexpr std::string_view kLetters = "etaoinshrdlucmfwygpbvkxqjz";  // by frequency in English
  for (char letter : kLetters) merge(byte(' '), std::string(1, letter));
  for (char left : kLetters) {
    for (char right : kLetters) merge(std::string(1, left), std::string(1, right));
  }
  const auto count = static_cast<size_t>(vocab);
  while (tokens.size() < count - 2) tokens.push_back("<filler" + std::to_string(tokens.size()) + ">");
  tokens.push_back("<bos>");
  tokens.push_back("<eos>");
  types.assign(count, Json(int{kTokenNormal}));
  types[count - 2] = types[count - 1] = Json(int{kTokenControl});
  metadata.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", pre_tokenizer);
  metadata.set("tokenizer.ggml.tokens", std::move(tokens)).set("tokenizer.ggml.token_type", std::move(types));
  metadata.set("tokenizer.ggml.merges", std::move(merges));
  metadata.set("tokenizer.ggml.bos_token_id", vocab - 2).set("tokenizer.ggml.eos_token_id", vocab - 1);
  metadata.set("tokenizer.ggml.add_bos_token", true);
}

}  // namespace landfall
