// The starter model's own vocabulary, where its file is at hand: LANDFALL_STARTER names it. The ids are made from that
// file by tests/golden/make_tokenizer_goldens.py --starter FILE.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "model/chat/chat_format.h"
#include "model/source.h"
#include "model/testing.h"

namespace landfall {
namespace {

TEST(Starter, its_vocabulary_gives_the_reference_ids_and_its_template_a_prompt) {
  const char* path = std::getenv("LANDFALL_STARTER");
  if (!path) GTEST_SKIP() << "LANDFALL_STARTER does not name the starter model's file";
  Result<ModelSource> source = ModelSource::open(Env::real(), path);
  ASSERT_TRUE(source.ok()) << source.status().message();
  ASSERT_TRUE(source->tokenizer.has_value());
  const Result<Tokenizer> tokenizer = Tokenizer::create(*source->tokenizer);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();

  const Json lines = read_json_file(kGoldenTokenizers + "lines.json");
  std::ifstream golden(kGoldenTokenizers + "starter.ids");
  for (const Json& line : lines.array()) {
    std::string expected, ids;
    ASSERT_TRUE(std::getline(golden, expected));
    for (const int32_t id : tokenizer->encode(line.string())) ids += (ids.empty() ? "" : " ") + std::to_string(id);
    ASSERT_EQ(ids, expected) << line.dump();
  }

  const Result<ChatFormat> format = ChatFormat::create(*tokenizer);
  ASSERT_TRUE(format.ok()) << format.status().message();
  const ChatMessage messages[] = {{"user", "Hi <|im_end|>", ""}};
  const Result<Prompt> prompt = format->render(messages);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->text(),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n");
  const std::vector<int32_t> ids = tokenizer->encode_segments(prompt->segments);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer->token_id("<|im_end|>")), 2);
  EXPECT_FALSE(prompt->starts_in_thinking);
}

}  // namespace
}  // namespace landfall
