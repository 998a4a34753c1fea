#include "data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include "data/permutation.h"
#include "data/testing.h"

namespace landfall {
namespace {

TEST(Permutation, reaches_every_number_once_and_differs_by_seed_and_epoch) {
  for (const uint64_t n : {1, 2, 3, 4, 5, 7, 16, 17, 100, 1000, 4097}) {
    std::set<uint64_t> seen;
    const Permutation order(n, 7, 0);
    for (uint64_t i = 0; i < n; ++i) seen.insert(order(i));
    EXPECT_EQ(seen.size(), n);
    EXPECT_LT(*seen.rbegin(), n);
  }
  std::set<std::vector<uint64_t>> orders;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    for (uint64_t epoch = 0; epoch < 5; ++epoch) {
      std::vector<uint64_t> order;
      for (uint64_t i = 0; i < 100; ++i) order.push_back(Permutation(100, seed, epoch)(i));
      orders.insert(order);
    }
  }
  EXPECT_EQ(orders.size(), 25u);
  const Permutation large(uint64_t{1} << 40, 1, 2);
  EXPECT_LT(large(123456789), uint64_t{1} << 40);
}

TEST(Permutation, spreads_evenly) {
  // Over many epochs each number stands at each place about equally often: chi-squared over 8 x 8 cells with 49 degrees
  // of freedom stays below 90 (one in 3,000).
  constexpr uint64_t kN = 8, kEpochs = 8000;
  double counts[kN][kN] = {};
  for (uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const Permutation order(kN, 3, epoch);
    for (uint64_t i = 0; i < kN; ++i) ++counts[i][order(i)];
  }
  double chi_squared = 0;
  for (const auto& row : counts) {
    for (const double count : row) chi_squared += (count - kEpochs / 8.0) * (count - kEpochs / 8.0) / (kEpochs / 8.0);
  }
  EXPECT_LT(chi_squared, 90);
}

const ExampleEncoder& encoder() {
  static const ExampleEncoder out = chatml_encoder();
  return out;
}

TokenDataset dataset(const std::string& name, const std::string& content, int64_t context = 32) {
  const std::string path = write_example_file(temporary_path(name), content);
  Result<TokenDataset> out = TokenDataset::open(Env::real(), {path}, encoder(), {.context = context});
  EXPECT_TRUE(out.ok()) << out.status().message();
  return std::move(out).value();
}

std::string rows(int count, const std::string& word) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    out += "{\"text\": \"" + word + std::to_string(i);
    for (int k = 0; k < i % 7; ++k) out += " and more";
    out += "\"}\n";
  }
  return out;
}

std::string chats(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) {
    out += "{\"instruction\": \"" + std::to_string(i) + "\", \"output\": \"answer " + std::to_string(i) + "\"}\n";
  }
  return out;
}

Packing make(const TokenDataset& data, const PackingOptions& options) {
  Result<Packing> out = Packing::create(data, options);
  EXPECT_TRUE(out.ok()) << out.status().message();
  return std::move(out).value();
}

PackedBatch next(const Packing& packing, Cursor& cursor) {
  Result<PackedBatch> out = packing.next(cursor);
  EXPECT_TRUE(out.ok()) << out.status().message();
  return std::move(out).value();
}

TEST(Packing, an_epoch_holds_every_document_once_and_whole) {
  const TokenDataset data = dataset("epoch.jsonl", rows(100, "row "));
  std::multiset<std::vector<int32_t>> documents;
  for (uint64_t i = 0; i < data.documents(); ++i) {
    std::vector<int32_t> ids;
    for (const MarkedToken token : data.document(i)) ids.push_back(token_of(token));
    documents.insert(ids);
  }
  const Packing packing = make(data, {.sequences = 3, .seed = 5});
  Cursor cursor;
  for (uint64_t epoch = 0; epoch < 2; ++epoch) {
    std::multiset<std::vector<int32_t>> met;
    uint64_t batches = 0;
    while (cursor.epoch == epoch) {
      const PackedBatch batch = next(packing, cursor);
      ++batches;
      ASSERT_LE(batch.tokens.size(), 96u);
      ASSERT_EQ(batch.positions.size(), batch.tokens.size());
      ASSERT_EQ(batch.targets.size(), batch.tokens.size());
      int32_t row = 0;
      for (const PackedRun& run : batch.runs) {
        ASSERT_EQ(run.first, row);
        met.emplace(batch.tokens.begin() + row, batch.tokens.begin() + row + run.count);
        for (int32_t i = 0; i < run.count; ++i, ++row) {
          ASSERT_EQ(batch.positions[static_cast<size_t>(row)], i);
          ASSERT_EQ(batch.targets[static_cast<size_t>(row)],
                    i + 1 < run.count ? batch.tokens[static_cast<size_t>(row) + 1] : -1);
        }
      }
      ASSERT_EQ(static_cast<size_t>(row), batch.tokens.size());
      EXPECT_EQ(batch.learned, static_cast<int64_t>(batch.tokens.size() - batch.runs.size()));
    }
    EXPECT_EQ(met, documents);
    EXPECT_GT(batches, data.tokens() / 96);
    EXPECT_EQ(packing.batches(epoch + 1) - packing.batches(epoch), batches);
  }
  EXPECT_EQ(cursor.tokens, 2 * data.tokens());
}

TEST(Packing, only_answers_are_targets_in_conversations) {
  const TokenDataset data = dataset("chats.jsonl", chats(20));
  Cursor cursor;
  const PackedBatch batch = next(make(data, {.sequences = 100}), cursor);
  ASSERT_EQ(batch.runs.size(), 20u);
  for (const PackedRun& run : batch.runs) {
    std::vector<int32_t> targets;
    for (int32_t i = run.first; i < run.first + run.count; ++i) {
      if (const int32_t target = batch.targets[static_cast<size_t>(i)]; target >= 0) targets.push_back(target);
    }
    const std::string text = encoder().tokenizer().decode(targets);
    EXPECT_TRUE(text.starts_with("answer ") && text.ends_with("<|im_end|>")) << text;
  }
  EXPECT_EQ(batch.learned, static_cast<int64_t>(data.counts().learned));
}

TEST(Packing, a_saved_cursor_continues_with_the_same_batches) {
  const TokenDataset data = dataset("main.jsonl", rows(60, "main ")), old = dataset("old.jsonl", rows(15, "old "));
  const PackingOptions options{.sequences = 2, .seed = 9, .replay = &old, .replay_share = 0.25};
  const Packing packing = make(data, options);
  std::vector<Cursor> before;
  std::vector<PackedBatch> batches;
  Cursor cursor;
  while (cursor.epoch < 3) {
    before.push_back(cursor);
    batches.push_back(next(packing, cursor));
  }
  // Another process: the file is read again, the cursor is a copy of its bytes.
  const TokenDataset data_again = dataset("main.jsonl", rows(60, "main "));
  const TokenDataset old_again = dataset("old.jsonl", rows(15, "old "));
  const Packing again = make(data_again, {.sequences = 2, .seed = 9, .replay = &old_again, .replay_share = 0.25});
  EXPECT_EQ(again.identity(), packing.identity());
  for (size_t i = 0; i < batches.size(); ++i) {
    Cursor saved;
    std::memcpy(&saved, &before[i], sizeof saved);
    EXPECT_EQ(next(again, saved), batches[i]) << i;
    EXPECT_EQ(saved, i + 1 < batches.size() ? before[i + 1] : cursor);
  }
  EXPECT_NE(make(data, {.sequences = 2, .seed = 10, .replay = &old, .replay_share = 0.25}).identity(),
            packing.identity());
  EXPECT_NE(make(data, {.sequences = 2, .seed = 9}).identity(), packing.identity());
}

TEST(Packing, replay_takes_its_share_and_goes_round) {
  const TokenDataset data = dataset("new.jsonl", rows(200, "new ")), old = dataset("kept.jsonl", rows(10, "kept "));
  for (const double share : {0.05, 0.3, 0.6}) {
    const Packing packing = make(data, {.sequences = 2, .replay = &old, .replay_share = share});
    Cursor cursor;
    while (cursor.epoch < 2) {
      (void)next(packing, cursor);
      // Off by no more than one document.
      ASSERT_NEAR(static_cast<double>(cursor.replayed), share * static_cast<double>(cursor.tokens), 32);
    }
    EXPECT_GT(cursor.replay_epoch + cursor.replay_position, 0u);
    EXPECT_EQ(cursor.tokens - cursor.replayed, 2 * data.tokens());
  }
}

TEST(Packing, both_answers_of_a_preference_stand_in_one_batch) {
  std::string content;
  for (int i = 0; i < 30; ++i) {
    content += "{\"prompt\": \"" + std::to_string(i) + "\", \"chosen\": \"good\", \"rejected\": \"bad\"}\n";
  }
  const TokenDataset data = dataset("pairs.jsonl", content);
  EXPECT_EQ(data.documents_of_a_unit(), 2u);
  const Packing packing = make(data, {.sequences = 3});
  Cursor cursor;
  size_t pairs = 0;
  while (cursor.epoch == 0) {
    const PackedBatch batch = next(packing, cursor);
    ASSERT_EQ(batch.runs.size() % 2, 0u);
    for (size_t i = 0; i < batch.runs.size(); i += 2, ++pairs) {
      const auto text = [&](const PackedRun& run) {
        return encoder().tokenizer().decode(
            std::span(batch.tokens).subspan(static_cast<size_t>(run.first), static_cast<size_t>(run.count)));
      };
      std::string chosen = text(batch.runs[i]), rejected = text(batch.runs[i + 1]);
      ASSERT_NE(chosen.find("good"), std::string::npos);
      EXPECT_EQ(chosen.replace(chosen.find("good"), 4, "bad"), rejected);
    }
  }
  EXPECT_EQ(pairs, 30u);
  const Status small = Packing::create(data, {.sequences = 1}).status();
  EXPECT_NE(small.message().find("pair of answers"), std::string::npos) << small.message();
  EXPECT_NE(small.message().find("allow 2 sequences"), std::string::npos) << small.message();
  const TokenDataset text = dataset("other.jsonl", rows(3, "a"));
  EXPECT_EQ(Packing::create(text, {.sequences = 2, .replay = &data, .replay_share = 0.1}).status().code(),
            Code::unsupported);
}

TEST(Packing, what_makes_no_sense_is_refused) {
  const TokenDataset data = dataset("small.jsonl", rows(5, "a"));
  for (const int64_t sequences : {int64_t{0}, int64_t{-1}, INT64_MAX}) {
    EXPECT_EQ(Packing::create(data, {.sequences = sequences}).status().code(), Code::invalid_argument);
  }
  for (const double share : {-0.1, 1.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_FALSE(Packing::create(data, {.replay = &data, .replay_share = share}).ok());
  }
  Cursor elsewhere{.position = 1000};
  const Status refused = make(data, {}).next(elsewhere).status();
  EXPECT_NE(refused.message().find("1000 of 5"), std::string::npos) << refused.message();
}

}  // namespace
}  // namespace landfall
