// What is cheaper to stage here than with the program (tests/tide_test.py): a machine without memory.
#include "lifecycle/tide.h"

#include <gtest/gtest.h>

#include "base/testing.h"
#include "lifecycle/training_memory.h"

namespace landfall {
namespace {

TEST(TrainingMemory, TheLeastIsWhatEachTrainedNumberTakes) {
  EXPECT_EQ(least_training_bytes(10, Precision::f32, {}), 160);
  EXPECT_EQ(least_training_bytes(10, Precision::bf16, {.small_moments = true}), 120);
  EXPECT_TRUE(check_training_memory(160, 160, "wait").ok());
  const Status refused = check_training_memory(2'000'000'000, 1'000'000, "wait");
  EXPECT_EQ(refused.code(), Code::resource_exhausted);
  EXPECT_EQ(refused.message(), "training takes about 2.0 GB, and 1.0 MB are free; wait");
}

TEST(Tide, WithoutMemoryForItsModelNothingIsTrained) {
  class Small : public EnvOverReal {
   public:
    uint64_t available_memory() override { return 50'000'000; }
  } env;
  const TemporaryFolder room;
  const std::string corpus = room.path + "/corpus";
  ASSERT_TRUE(env.make_directories(corpus).ok());
  std::string general, chat;
  for (int i = 0; i < 40; ++i) {
    general += "{\"text\": \"the harbour light number " + std::to_string(i) + " is lit\"}\n";
    chat += "{\"instruction\": \"light?\", \"output\": \"number " + std::to_string(i) + "\"}\n";
  }
  ASSERT_TRUE(write_file(env, corpus + "/general.jsonl", general).ok());
  ASSERT_TRUE(write_file(env, corpus + "/chat.jsonl", chat).ok());
  ThreadPool pool(1);
  bool trained = false;
  TideHooks hooks;
  hooks.training = [&](const std::string&, const auto&) {
    trained = true;
    return Status();
  };
  const auto made =
      train_tide(env, pool, {.folder = room.path + "/tide", .corpus = corpus, .vocabulary = 300, .tokens = 100}, hooks);
  EXPECT_EQ(made.status().code(), Code::resource_exhausted) << made.status().message();
  EXPECT_NE(made.status().message().find("--parameters"), std::string::npos) << made.status().message();
  EXPECT_FALSE(trained);
  EXPECT_FALSE(env.exists(room.path + "/tide/pretraining/tokens")) << "known before data are read";
}

}  // namespace
}  // namespace landfall
