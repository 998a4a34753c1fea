#include "data/train_tokenizer.h"

#include <gtest/gtest.h>

#include "data/testing.h"
#include "model/chat/chat_format.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/write_tokenizer.h"

namespace landfall {
namespace {

const TokenizerTraining kWatch = {.vocabulary = 300,
                                  .reading = [](uint64_t, uint64_t) { return true; },
                                  .merging = [](uint64_t, uint64_t) { return true; }};

std::string rows() {
  std::string out;
  for (int i = 0; i < 300; ++i) {
    out += "{\"messages\": [{\"role\": \"user\", \"content\": \"Which lamp burns at pier " + std::to_string(i) +
           "?\"}, {\"role\": \"assistant\", \"content\": \"The lamp of harbour " + std::to_string(i % 13) +
           " burns, at 灯台 näher.\"}]}\n";
  }
  return out;
}

TokenizerSpec trained() {
  const std::vector<std::string> files = {
      write_example_file(temporary_path("rows.jsonl"), rows()),
      write_example_file(temporary_path("words.txt"), "The lamp burns. The lamp burns.\n")};
  auto spec = train_tokenizer(Env::real(), files, kWatch);
  LANDFALL_CHECK(spec.ok(), spec.status().message());
  return std::move(*spec);
}

Tokenizer made(TokenizerSpec spec) {
  auto tokenizer = Tokenizer::create(std::move(spec));
  LANDFALL_CHECK(tokenizer.ok(), tokenizer.status().message());
  return std::move(*tokenizer);
}

TEST(TrainTokenizer, LearnsTheTextOfRowsAndReturnsIt) {
  const Tokenizer tokenizer = made(trained());
  EXPECT_EQ(tokenizer.vocab_size(), 300);
  const std::string text = "The lamp of harbour 12 burns, at 灯台. Ω\n";
  const std::vector<int32_t> ids = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_LT(ids.size(), 24u);  // of 47 bytes
  EXPECT_TRUE(tokenizer.token_id("\xC4\xA0lamp").has_value());
}

TEST(TrainTokenizer, ServesTheHousesOwnConversationForm) {
  const Tokenizer tokenizer = made(trained());
  const auto own = ChatFormat::create(tokenizer), by_template = ChatFormat::create(tokenizer, ChatFormat::Choice::file);
  ASSERT_TRUE(own.ok() && by_template.ok()) << own.status().message() << by_template.status().message();
  EXPECT_EQ(own->name(), "deepseek-v3");
  const ChatMessage messages[] = {
      {"system", "Be brief.", ""}, {"user", "Hello", ""}, {"assistant", "Hi", ""}, {"user", "Lamp?", ""}};
  const auto one = own->render(messages), other = by_template->render(messages);
  ASSERT_TRUE(one.ok() && other.ok());
  EXPECT_EQ(one->text(), other->text());
  const std::vector<int32_t> ids = tokenizer.encode_segments(one->segments);
  EXPECT_EQ(ids.front(), tokenizer.bos());
  EXPECT_EQ(ids.back(), tokenizer.token_id("<｜Assistant｜>").value_or(-1));
  EXPECT_EQ(tokenizer.eos_ids(), std::vector<int32_t>{tokenizer.eos()});
}

TEST(TrainTokenizer, FilesHoldWhatWasLearned) {
  const TokenizerSpec spec = trained();
  TemporaryFolder temporary;
  const std::string folder = join_path(temporary.path, "tokenizer");
  ASSERT_TRUE(write_tokenizer(Env::real(), folder, spec).ok());
  const auto read = read_tokenizer(Env::real(), folder);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->pre, spec.pre);
  EXPECT_EQ(read->tokens, spec.tokens);
  EXPECT_EQ(read->types, spec.types);
  EXPECT_EQ(read->merges, spec.merges);
  EXPECT_EQ(read->chat_template, spec.chat_template);
  EXPECT_EQ(std::tuple(read->bos, read->eos, read->pad, read->add_bos), std::tuple(0, 1, 2, true));
}

TEST(TrainTokenizer, SaysWhatItCannotDo) {
  const std::vector<std::string> files = {write_example_file(temporary_path("words.txt"), "The lamp burns.\n")};
  TokenizerTraining options = kWatch;
  options.vocabulary = 100;
  EXPECT_EQ(train_tokenizer(Env::real(), files, options).status().code(), Code::invalid_argument);
  options = kWatch;
  options.reading = [](uint64_t, uint64_t) { return false; };
  EXPECT_EQ(train_tokenizer(Env::real(), files, options).status().code(), Code::cancelled);
  const std::vector<std::string> missing = {temporary_path("missing.txt")};
  EXPECT_EQ(train_tokenizer(Env::real(), missing, kWatch).status().code(), Code::not_found);
}

}  // namespace
}  // namespace landfall
