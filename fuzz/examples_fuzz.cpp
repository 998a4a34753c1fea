// A hostile file of examples: read to its end as rows and as text, and encoded by forms of both kinds. Whatever comes
// out is UTF-8, fits the context, and has something to learn.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "data/example_encoder.h"
#include "data/examples.h"
#include "memory_env.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/utf8.h"

using namespace landfall;

namespace {

constexpr int64_t kContext = 64;

// A token for each byte, and ChatML's two.
ExampleEncoder make_encoder(const char* chat_template) {
  TokenizerSpec spec;
  spec.pre = "qwen2";
  for (int b = 0; b < 256; ++b) {
    append_utf8(spec.tokens.emplace_back(), byte_level_character(static_cast<unsigned char>(b)));
  }
  spec.types.assign(256, kTokenNormal);
  for (const char* text : {"<|im_start|>", "<|im_end|>", "</think>"}) {
    spec.tokens.emplace_back(text);
    spec.types.push_back(kTokenControl);
  }
  spec.eos = 257;
  spec.chat_template = chat_template;
  Result<ExampleEncoder> out = ExampleEncoder::create(std::move(spec));
  LANDFALL_CHECK(out.ok(), out.status().message());
  return std::move(out).value();
}

void encode(const Example& example, const ExampleEncoder& encoder) {
  const Result<std::vector<MarkedTokens>> documents = encoder.encode(example, kContext);
  if (!documents.ok()) {
    LANDFALL_CHECK(!documents.status().message().empty());
    return;
  }
  LANDFALL_CHECK(!documents->empty());
  for (const MarkedTokens& document : *documents) {
    LANDFALL_CHECK(document.size() >= 2 && document.size() <= kContext);
    LANDFALL_CHECK(std::any_of(document.begin() + 1, document.end(), is_learned));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ExampleEncoder nested = make_encoder(
      "{% for m in messages %}{{'<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n'}}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}");
  static const ExampleEncoder cutting = make_encoder(
      "{% for m in messages %}{{'<|im_start|>' + m.content + '<|im_end|>'}}{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|><think>\n' }}{% endif %}");
  MemoryEnv env;
  for (const char* path : {"rows.jsonl", "text.txt"}) {
    env.add(path, {reinterpret_cast<const char*>(data), size});
    Result<ExampleReader> reader = ExampleReader::open(env, {path});
    LANDFALL_CHECK(reader.ok(), reader.status().message());
    Example example;
    uint64_t good = 0;
    Result<bool> more = reader->next(example);
    for (; more.ok() && *more; more = reader->next(example), ++good) {
      LANDFALL_CHECK(!find_invalid_utf8(example.text));
      for (const ChatMessage& message : example.messages) LANDFALL_CHECK(!find_invalid_utf8(message.content));
      encode(example, nested);
      encode(example, cutting);
    }
    LANDFALL_CHECK(more.ok() || !more.status().message().empty());
    LANDFALL_CHECK(reader->report().rows - reader->report().bad == good);
    LANDFALL_CHECK(reader->report().first_bad.size() <= kBadRowsShown);
  }
  return 0;
}
