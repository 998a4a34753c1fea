// Ids against the reference tokenizers, on one set of lines for every published pipeline. The files are made by
// tests/golden/make_tokenizer_goldens.py.
#include <gtest/gtest.h>

#include "model/testing.h"
#include "model/tokenizer/nfc.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/write_tokenizer.h"

namespace landfall {
namespace {

// For each line a count and as many ids, each seven bits a byte, the lowest first.
std::vector<std::vector<int32_t>> read_ids(const std::string& name) {
  const auto file = Env::real().read(kGoldenTokenizers + name);
  EXPECT_TRUE(file.ok()) << file.status().message();
  const std::string& bytes = *file;
  size_t at = 0;
  const auto next = [&] {
    int32_t value = 0;
    for (int shift = 0; at < bytes.size(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes[at++]);
      value |= (byte & 0x7F) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  std::vector<std::vector<int32_t>> out;
  while (at < bytes.size()) {
    std::vector<int32_t>& ids = out.emplace_back(static_cast<size_t>(next()));
    for (int32_t& id : ids) id = next();
  }
  return out;
}

struct Golden {
  std::string file;
  std::string pre;  // name to take the rules from; empty: the file's own
};

std::ostream& operator<<(std::ostream& out, const Golden& golden) {
  return out << golden.file << " by " << (golden.pre.empty() ? "its own steps" : golden.pre);
}

class TokenizerGolden : public testing::TestWithParam<Golden> {};

TEST_P(TokenizerGolden, ids_equal_the_reference_and_decode_returns_the_text) {
  const Json lines = read_json_file(kGoldenTokenizers + "lines.json"),
             composed = read_json_file(kGoldenTokenizers + "nfc.json");
  ASSERT_GE(lines.array().size(), 2000u);
  Result<TokenizerSpec> spec =
      parse_tokenizer_json(read_json_file(kGoldenTokenizers + GetParam().file + ".json"), Json());
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  if (!GetParam().pre.empty()) {
    spec->rules.reset();
    spec->pre = GetParam().pre;
  }
  const Result<Tokenizer> tokenizer = Tokenizer::create(std::move(*spec));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const auto plain = read_ids(GetParam().file + ".plain.ids"), special = read_ids(GetParam().file + ".special.ids");
  ASSERT_EQ(plain.size(), lines.array().size());
  ASSERT_EQ(special.size(), lines.array().size());
  EXPECT_NE(plain, special) << "no line holds a special token";
  const bool composes = GetParam().file == "qwen2";
  for (size_t i = 0; i < lines.array().size(); ++i) {
    const std::string& line = lines.array()[i].string();
    const std::vector<int32_t> ids = tokenizer->encode(line);
    ASSERT_EQ(ids, plain[i]) << "line " << i << ": " << lines.array()[i].dump();
    ASSERT_EQ(tokenizer->encode_with_special(line), special[i]) << "line " << i << ": " << lines.array()[i].dump();
    const Json* other = composes ? composed.find(std::to_string(i)) : nullptr;
    const std::string& expected = other ? other->string() : line;
    ASSERT_EQ(tokenizer->decode(ids), expected) << "line " << i;
    ASSERT_EQ(tokenizer->decode(special[i]), expected) << "line " << i;
    StreamDecoder stream(*tokenizer);
    std::string streamed;
    for (const int32_t id : ids) streamed += stream.push(id);
    ASSERT_EQ(streamed, expected) << "line " << i;  // before finish(): nothing complete is held back
    ASSERT_EQ(stream.finish(), "");
  }
}

TEST(TokenizerNames, the_steps_of_published_files_have_the_names_that_gguf_gives_them) {
  for (const std::string name :
       {"deepseek-llm", "deepseek-coder", "deepseek-v3", "qwen2", "llama-bpe", "smollm", "gpt-2"}) {
    const auto spec = parse_tokenizer_json(read_json_file(kGoldenTokenizers + name + ".json"), Json());
    ASSERT_TRUE(spec.ok()) << spec.status().message();
    const auto found = name_of_text_rules(*spec->rules);
    ASSERT_TRUE(found.has_value()) << name;
    if (name == "qwen2")
      EXPECT_EQ(*found, "deepseek-r1-qwen") << "the same rules under two names";
    else
      EXPECT_EQ(*found, name);
    // And as a file again they are the same steps.
    TokenizerSpec named = *spec;
    named.pre = *found;
    named.rules.reset();
    const auto again = parse_tokenizer_json(tokenizer_json(named), Json());
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_EQ(name_of_text_rules(*again->rules), found);
    EXPECT_EQ(again->tokens, spec->tokens);
    EXPECT_EQ(again->types, spec->types);
    EXPECT_EQ(again->merges, spec->merges);
  }
  EXPECT_FALSE(name_of_text_rules({{"\\p{L}+"}}).has_value());
}

INSTANTIATE_TEST_SUITE_P(Published, TokenizerGolden,
                         testing::Values(Golden{"deepseek-llm", ""}, Golden{"deepseek-llm", "deepseek-llm"},
                                         Golden{"deepseek-coder", ""}, Golden{"deepseek-coder", "deepseek-coder"},
                                         Golden{"deepseek-v3", ""}, Golden{"deepseek-v3", "deepseek-v3"},
                                         Golden{"deepseek-v3", "joyai-llm"}, Golden{"qwen2", ""},
                                         Golden{"qwen2", "qwen2"}, Golden{"qwen2", "deepseek-r1-qwen"},
                                         Golden{"llama-bpe", ""}, Golden{"llama-bpe", "llama-bpe"},
                                         Golden{"llama-bpe", "llama3"}, Golden{"smollm", ""},
                                         Golden{"smollm", "smollm"}, Golden{"gpt-2", ""}, Golden{"gpt-2", "default"}));

TEST(Nfc, composes_as_the_reference_does) {
  const Json lines = read_json_file(kGoldenTokenizers + "lines.json"),
             composed = read_json_file(kGoldenTokenizers + "nfc.json");
  ASSERT_GT(composed.object().size(), 50u);
  for (size_t i = 0; i < lines.array().size(); ++i) {
    const std::string& line = lines.array()[i].string();
    const Json* other = composed.find(std::to_string(i));
    std::string storage;
    EXPECT_EQ(to_nfc(line, storage), other ? other->string() : line) << "line " << i;
  }
}

}  // namespace
}  // namespace landfall
