// For tests of this and later rooms: files of examples, and encoders made of the golden tokenizers.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/testing.h"
#include "data/example_encoder.h"
#include "model/chat/native_chat.h"

namespace landfall {

inline const std::string kChatMl =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

inline std::string write_example_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

inline std::string read_example_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// One of tests/golden/tokenizer with DeepSeek's markup beside its own; `end` ends an answer.
inline TokenizerSpec golden_tokenizer_spec(const std::string& name, const std::string& chat_template,
                                           const std::string& end, bool add_bos) {
  const Result<Json> json = parse_json(read_example_file("tests/golden/tokenizer/" + name + ".json"));
  EXPECT_TRUE(json.ok()) << name;
  Result<TokenizerSpec> spec = parse_tokenizer_json(*json, Json());
  EXPECT_TRUE(spec.ok()) << spec.status().message();
  const auto id_of = [&](const std::string& text) {
    for (size_t i = 0; i < spec->tokens.size(); ++i) {
      if (spec->tokens[i] == text) return static_cast<int32_t>(i);
    }
    spec->tokens.push_back(text);
    spec->types.push_back(kTokenControl);
    return static_cast<int32_t>(spec->tokens.size()) - 1;
  };
  spec->bos = id_of(std::string(kDeepseekBos));
  for (const std::string_view text : {kDeepseekEos, kDeepseekUser, kDeepseekAssistant, std::string_view("<think>"),
                                      std::string_view("</think>"), std::string_view("<|endoftext|>")}) {
    id_of(std::string(text));
  }
  spec->eos = id_of(end);
  spec->add_bos = add_bos;
  spec->chat_template = chat_template;
  return std::move(*spec);
}

inline ExampleEncoder make_encoder(TokenizerSpec spec, ChatFormat::Choice choice = ChatFormat::Choice::automatic) {
  Result<ExampleEncoder> out = ExampleEncoder::create(std::move(spec), choice);
  EXPECT_TRUE(out.ok()) << out.status().message();
  return std::move(out).value();
}

// As Qwen does: turns in ChatML, no token at the beginning.
inline ExampleEncoder chatml_encoder() {
  return make_encoder(golden_tokenizer_spec("qwen2", kChatMl, "<|im_end|>", /*add_bos=*/false));
}

}  // namespace landfall
