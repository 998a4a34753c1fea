#include "data/token_dataset.h"

#include <gtest/gtest.h>

#include <cstring>

#include "data/testing.h"

namespace landfall {
namespace {

std::string rows(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    out += "{\"text\": \"This is row " + std::to_string(i) + " of them, with a few words to read.\"}\n";
  }
  return out;
}

Result<TokenDataset> open(const std::string& path, const TokenDatasetOptions& options, Env& env = Env::real()) {
  static const ExampleEncoder encoder = chatml_encoder();
  return TokenDataset::open(env, {path}, encoder, options);
}

std::vector<MarkedTokens> documents(const TokenDataset& data) {
  std::vector<MarkedTokens> out;
  for (uint64_t i = 0; i < data.documents(); ++i) {
    const auto document = data.document(i);
    out.emplace_back(document.begin(), document.end());
  }
  return out;
}

// The only file of a folder.
std::string only_file(const std::string& folder) {
  const auto entries = Env::real().list(folder);
  EXPECT_TRUE(entries.ok());
  EXPECT_EQ(entries->size(), 1u);
  return join_path(folder, (*entries)[0].name);
}

TEST(TokenDataset, is_the_same_in_memory_as_from_the_cache) {
  const TemporaryFolder folder;
  const std::string path = write_example_file(folder.path + "/rows.jsonl", rows(50) + "bad\n");
  const Result<TokenDataset> memory = open(path, {.context = 16});
  ASSERT_TRUE(memory.ok()) << memory.status().message();
  const TokenDatasetOptions cached{.context = 16, .cache_folder = folder.path + "/cache/tokens"};
  const Result<TokenDataset> made = open(path, cached), found = open(path, cached);
  ASSERT_TRUE(made.ok()) << made.status().message();
  ASSERT_TRUE(found.ok()) << found.status().message();
  EXPECT_FALSE(made->from_cache());
  EXPECT_TRUE(found->from_cache());
  EXPECT_EQ(made->report().first_bad.size(), 1u);
  for (const TokenDataset* data : {&*memory, &*made, &*found}) {
    EXPECT_EQ(documents(*data), documents(*memory));
    EXPECT_EQ(data->identity(), memory->identity());
    EXPECT_EQ(data->counts(), memory->counts());
    EXPECT_EQ(data->counts().rows, 51u);
    EXPECT_EQ(data->counts().bad, 1u);
    EXPECT_EQ(data->counts().cut, 50u);
    // Every token but a piece's first is learned.
    EXPECT_EQ(data->counts().learned, data->tokens() - data->documents());
    EXPECT_EQ(data->kind(), Example::Kind::text);
    EXPECT_EQ(data->context(), 16);
  }
}

TEST(TokenDataset, whatever_decides_the_tokens_makes_another_shard) {
  const TemporaryFolder folder;
  const std::string path = write_example_file(folder.path + "/rows.jsonl", rows(5));
  const auto identity = [&](const TokenDatasetOptions& options) {
    const Result<TokenDataset> data = open(path, options);
    EXPECT_TRUE(data.ok()) << data.status().message();
    return data->identity();
  };
  const std::string first = identity({.context = 64});
  EXPECT_NE(identity({.context = 65}), first);
  EXPECT_NE(identity({.context = 64, .drop_near_duplicates = true}), first);
  const ExampleEncoder other = make_encoder(golden_tokenizer_spec("gpt-2", kChatMl, "<|im_end|>", false));
  EXPECT_NE(TokenDataset::open(Env::real(), {path}, other, {.context = 64})->identity(), first);
  write_example_file(path, rows(6));
  EXPECT_NE(identity({.context = 64}), first);
  write_example_file(path, rows(5));
  EXPECT_EQ(identity({.context = 64}), first);
}

TEST(TokenDataset, a_damaged_shard_is_made_again) {
  const TemporaryFolder folder;
  const std::string path = write_example_file(folder.path + "/rows.jsonl", rows(3));
  const TokenDatasetOptions options{.context = 64, .cache_folder = folder.path + "/cache"};
  ASSERT_TRUE(open(path, options).ok());
  const std::string shard = only_file(options.cache_folder), whole = read_example_file(shard);
  std::vector<std::string> damaged = {"", "LNDFTOKS", whole.substr(0, whole.size() / 2), whole + "x",
                                      whole.substr(0, whole.size() - 1)};
  for (size_t at = 0; at < whole.size(); at += 13) {  // a bit of every part
    damaged.push_back(whole);
    damaged.back()[at] = static_cast<char>(damaged.back()[at] ^ (1 << at % 8));
  }
  for (const std::string& bytes : damaged) {
    write_example_file(shard, bytes);
    const Result<TokenDataset> again = open(path, options);
    ASSERT_TRUE(again.ok()) << again.status().message();
    EXPECT_FALSE(again->from_cache());
    EXPECT_EQ(read_example_file(only_file(options.cache_folder)), whole);
  }
  EXPECT_TRUE(open(path, options)->from_cache());
}

TEST(TokenDataset, bad_rows_come_back_when_their_file_is_gone) {
  const TemporaryFolder folder;
  const std::string path = write_example_file(folder.path + "/rows.jsonl", rows(3) + "bad\n");
  const TokenDatasetOptions options{
      .context = 64, .cache_folder = folder.path + "/cache", .quarantine = folder.path + "/bad.jsonl"};
  EXPECT_FALSE(open(path, options)->from_cache());
  EXPECT_TRUE(open(path, options)->from_cache());
  ASSERT_TRUE(Env::real().remove(options.quarantine).ok());
  EXPECT_FALSE(open(path, options)->from_cache());
  EXPECT_TRUE(Env::real().exists(options.quarantine));
}

// Numbers that no digest protects: the reader must hold against a file made to mislead it.
TEST(TokenShard, numbers_that_do_not_fit_are_refused_though_the_digest_is_right) {
  std::vector<std::byte> bytes;
  TokenShardWriter writer(
      [&](std::span<const std::byte> part) {
        bytes.insert(bytes.end(), part.begin(), part.end());
        return Status();
      },
      RowShape::text, 8, std::string(64, 'a'));
  ASSERT_TRUE(writer.add({1, 2 | kLearned, 3}).ok());
  ASSERT_TRUE(writer.add({4, 5}).ok());
  ASSERT_TRUE(writer.finish({}).ok());
  const Result<TokenShard> good = read_token_shard(bytes, 100);
  ASSERT_TRUE(good.ok()) << good.status().message();
  EXPECT_EQ(good->counts.learned, 1u);
  EXPECT_EQ(good->document(1)[1], 5u);
  EXPECT_FALSE(read_token_shard(bytes, 5).ok()) << "token 5 of a vocabulary of 5";

  const auto with = [&](size_t at, uint64_t value, size_t size = 8) {
    std::vector<std::byte> out = bytes;
    std::memcpy(out.data() + at, &value, size);
    Digest digest;
    digest.update(std::span<const std::byte>(out).first(out.size() - 64));
    std::memcpy(out.data() + out.size() - 64, digest.hex().data(), 64);
    return out;
  };
  ASSERT_TRUE(read_token_shard(with(16, 8), 100).ok());
  const size_t footer = bytes.size() - 7 * 8 - 64, ends = footer - 16;
  const uint64_t wrong[][2] = {
      {16, 2},  // context below a document's length
      {footer, 0},
      {footer, 3},
      {footer, UINT64_MAX},
      {footer, uint64_t{1} << 61},
      {footer + 8, 3},
      {footer + 8, 7},
      {footer + 8, UINT64_MAX},
      {footer + 8, uint64_t{1} << 62},
      {ends, 0},
      {ends, 5},
      {ends, 6},
      {ends, UINT64_MAX},
      {ends + 8, 4},
      {ends + 8, 6},
      {ends + 8, 3},
  };
  for (const auto& [at, value] : wrong) {
    const Result<TokenShard> out = read_token_shard(with(at, value), 100);
    EXPECT_FALSE(out.ok()) << at << " = " << value;
    EXPECT_EQ(out.status().code(), Code::data_loss);
  }
  EXPECT_FALSE(read_token_shard(with(8, 2, 4), 100).ok()) << "version";
  EXPECT_FALSE(read_token_shard(with(12, 6, 4), 100).ok()) << "shape";
}

// A disk that is full after `room` bytes.
class FullDisk : public EnvOverReal {
 public:
  size_t room = 0;
  Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool append) override {
    LANDFALL_ASSIGN(auto file, real_.open_output(path, append));
    return std::unique_ptr<OutputFile>(std::make_unique<Output>(room, std::move(file)));
  }

 private:
  class Output : public OutputFile {
   public:
    Output(size_t& room, std::unique_ptr<OutputFile> file) : room_(room), file_(std::move(file)) {}
    Status append(std::span<const std::byte> data) override {
      if (data.size() > room_) return Status(Code::resource_exhausted, "no space left");
      room_ -= data.size();
      return file_->append(data);
    }
    Status sync() override { return file_->sync(); }

   private:
    size_t& room_;
    std::unique_ptr<OutputFile> file_;
  };
};

TEST(TokenDataset, a_full_disk_is_an_error_and_leaves_nothing_behind) {
  const TemporaryFolder folder;
  const std::string path = write_example_file(folder.path + "/rows.jsonl", rows(20));
  const TokenDatasetOptions options{.context = 64, .cache_folder = folder.path + "/cache"};
  for (const size_t room : {0, 300, 1500}) {
    FullDisk disk;
    disk.room = room;
    EXPECT_EQ(open(path, options, disk).status().code(), Code::resource_exhausted);
    EXPECT_TRUE(disk.list(options.cache_folder)->empty());
  }
}

TEST(TokenDataset, conversations_too_long_for_the_context_join_the_bad_rows) {
  const TemporaryFolder folder;
  const auto row = [](const std::string& answer) {
    return R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ")" + answer + "\"}]}\n";
  };
  std::string words;
  for (int i = 0; i < 100; ++i) words += "word ";
  const std::string path = write_example_file(folder.path + "/chat.jsonl", row("b") + row(words) + row("c"));
  const Result<TokenDataset> data = open(path, {.context = 40, .quarantine = folder.path + "/bad.jsonl"});
  ASSERT_TRUE(data.ok()) << data.status().message();
  EXPECT_EQ(data->documents(), 2u);
  EXPECT_EQ(data->counts().bad, 1u);
  EXPECT_EQ(data->report().first_bad[0].line, 2u);
  EXPECT_EQ(data->summary(),
            "3 OpenAI chat rows, 2 documents of " + std::to_string(data->tokens()) +
                " tokens, 4 of them learned; 1 row refused\n  line 2: " + data->report().first_bad[0].cause);
  EXPECT_NE(data->report().first_bad[0].cause.find("tokens, and the context holds 40"), std::string::npos);
  EXPECT_NE(read_example_file(folder.path + "/bad.jsonl").find("\"line\":2"), std::string::npos);
  const Status none = open(path, {.context = 4}).status();
  EXPECT_NE(none.message().find("3 of 3 rows cannot be used"), std::string::npos) << none.message();
}

TEST(TokenDataset, near_duplicates_are_dropped_where_asked) {
  const TemporaryFolder folder;
  const std::string row =
      R"({"instruction": "Say something that is long enough to compare", "output": "One two three")";
  const std::string path =
      write_example_file(folder.path + "/rows.jsonl",
                         row + "}\n" + row + ", \"id\": 2}\n" + R"({"instruction": "Else", "output": "Four"})");
  EXPECT_EQ(open(path, {.context = 64})->documents(), 3u);
  const Result<TokenDataset> data = open(path, {.context = 64, .drop_near_duplicates = true});
  EXPECT_EQ(data->documents(), 2u);
  EXPECT_EQ(data->counts().near_duplicates, 1u);
  EXPECT_EQ(data->counts().bad, 0u);
}

TEST(TokenDataset, several_files_make_one_dataset) {
  const TemporaryFolder folder;
  const std::string a = write_example_file(folder.path + "/a.jsonl", rows(3));
  const std::string b = write_example_file(folder.path + "/b.txt", "A text.\n\f\nAnother \xFF\n\f\nA third.");
  const ExampleEncoder encoder = chatml_encoder();
  const TokenDatasetOptions options{.context = 64, .cache_folder = folder.path + "/cache"};
  const auto open_files = [&](const std::vector<std::string>& files) {
    return TokenDataset::open(Env::real(), files, encoder, options);
  };
  const Result<TokenDataset> both = open_files({a, b}), one = open_files({a}), other = open_files({b});
  ASSERT_TRUE(both.ok()) << both.status().message();
  std::vector<MarkedTokens> expected = documents(*one);
  for (const MarkedTokens& document : documents(*other)) expected.push_back(document);
  EXPECT_EQ(documents(*both), expected);
  EXPECT_NE(both->identity(), one->identity());
  EXPECT_NE(open_files({b, a})->identity(), both->identity());
  EXPECT_TRUE(open_files({a, b})->from_cache());
  EXPECT_NE(both->summary().find("6 rows of 2 files, 5 documents of "), std::string::npos) << both->summary();
  EXPECT_NE(both->summary().find("\n  b.txt, line 3: is not UTF-8"), std::string::npos) << both->summary();

  const std::string pairs =
      write_example_file(folder.path + "/pairs.jsonl", R"({"prompt": "q", "chosen": "good", "rejected": "bad"})");
  const Status mixed = open_files({a, pairs}).status();
  EXPECT_EQ(mixed.code(), Code::invalid_argument);
  EXPECT_NE(mixed.message().find("pairs.jsonl' holds preferences"), std::string::npos) << mixed.message();
}

TEST(TokenDataset, what_a_killed_run_left_is_removed) {
  const TemporaryFolder folder;
  const std::string path = write_example_file(folder.path + "/rows.jsonl", rows(3));
  const TokenDatasetOptions options{.context = 64, .cache_folder = folder.path + "/cache"};
  ASSERT_TRUE(Env::real().make_directories(options.cache_folder).ok());
  write_example_file(options.cache_folder + "/0123.tokens.partial", "LNDFTOKS");
  ASSERT_TRUE(open(path, options).ok());
  EXPECT_TRUE(only_file(options.cache_folder).ends_with(".tokens"));
}

TEST(TokenDataset, stops_when_asked_and_refuses_what_makes_no_sense) {
  const TemporaryFolder folder;
  const std::string path = write_example_file(folder.path + "/rows.jsonl", rows(5));
  int calls = 0;
  const auto stop = [&](uint64_t done, uint64_t total) { return done <= total && ++calls < 3; };
  EXPECT_EQ(open(path, {.context = 64, .progress = stop}).status().code(), Code::cancelled);
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(open(path, {.context = 1}).status().code(), Code::invalid_argument);
  EXPECT_EQ(open(write_example_file(folder.path + "/noending", "a"), {.context = 8}).status().code(),
            Code::unsupported);
  EXPECT_EQ(open(folder.path + "/none.txt", {.context = 8}).status().code(), Code::not_found);
}

}  // namespace
}  // namespace landfall
