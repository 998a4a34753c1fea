#include "train/checkpoint.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/testing.h"
#include "train/power_cut.h"

namespace landfall {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

Json state_of(int64_t step) {
  Json out;
  out.set("step", step).set("loss", 0.1 * static_cast<double>(step));
  return out;
}

// Two parts, one of them in two pieces; their content names the step.
struct Parts {
  std::string a, b, c;
  explicit Parts(int64_t step)
      : a(std::string(5000, static_cast<char>('a' + step % 20))), b(std::to_string(step)), c(std::string(100, 'z')) {}
  std::vector<CheckpointPart> all() const {
    return {{"values.bin", {bytes_of(a), bytes_of(b)}}, {"more.bin", {bytes_of(c)}}};
  }
};

class CheckpointTest : public testing::Test {
 protected:
  static void save(Env& env, const std::string& folder, int64_t step, int keep = 2) {
    const Parts parts(step);
    const Status saved = CheckpointFolder(env, folder, keep).save(step, state_of(step), parts.all());
    ASSERT_TRUE(saved.ok()) << saved.message();
  }
  // The newest whole step, -1: none; its bytes are checked.
  int64_t newest(Env& env, const std::string& folder) {
    notes_.clear();
    auto found = CheckpointFolder(env, folder, 2).newest(notes_);
    EXPECT_TRUE(found.ok()) << found.status().message();
    if (!found.ok() || !*found) return -1;
    const Checkpoint& c = **found;
    EXPECT_EQ(c.state, state_of(c.step));
    const Parts parts(c.step);
    const auto values = c.parts.at("values.bin")->bytes();
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(values.data()), values.size()), parts.a + parts.b);
    return c.step;
  }
  std::string read(const std::string& path) {
    auto text = env_.read(path);
    EXPECT_TRUE(text.ok()) << text.status().message();
    return *text;
  }

  TemporaryFolder temporary_;
  std::string folder_ = join_path(temporary_.path, "run");
  Env& env_ = Env::real();
  std::vector<std::string> notes_;
};

TEST_F(CheckpointTest, TheNewestComesBackAndOldOnesGo) {
  EXPECT_EQ(newest(env_, folder_), -1);
  for (int64_t step : {10, 20, 30}) save(env_, folder_, step);
  EXPECT_EQ(newest(env_, folder_), 30);
  EXPECT_TRUE(notes_.empty());
  auto entries = env_.list(folder_);
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 2u);
  EXPECT_EQ((*entries)[0].name, "step-00000020");
}

TEST_F(CheckpointTest, OfADamagedOneTheOneBeforeIsTaken) {
  const std::function<void(std::string&)> damages[] = {
      [](std::string& text) { text[text.size() / 2] ^= 1; },
      [](std::string& text) { text.pop_back(); },
      [](std::string& text) { text.clear(); },
      [](std::string& text) { text += 'x'; },
  };
  for (const char* file : {"values.bin", "more.bin", "state.json", "manifest.json"}) {
    for (const auto& damage : damages) {
      SCOPED_TRACE(file);
      save(env_, folder_, 1);
      save(env_, folder_, 2);
      const std::string path = folder_ + "/step-00000002/" + file;
      std::string text = read(path);
      damage(text);
      if (std::string_view(file) == "manifest.json" && text.size() > 1 && parse_json(text).ok()) continue;
      ASSERT_TRUE(write_file(env_, path, text).ok());
      EXPECT_EQ(newest(env_, folder_), 1);
      ASSERT_EQ(notes_.size(), 1u);
      EXPECT_NE(notes_[0].find("step-00000002"), std::string::npos) << notes_[0];
      save(env_, folder_, 2);  // in its place
      EXPECT_EQ(newest(env_, folder_), 2);
    }
  }
}

TEST_F(CheckpointTest, OnlyDamagedOnesAreAnError) {
  save(env_, folder_, 1);
  ASSERT_TRUE(env_.remove(folder_ + "/step-00000001/values.bin").ok());
  const auto found = CheckpointFolder(env_, folder_, 2).newest(notes_);
  EXPECT_EQ(found.status().code(), Code::data_loss);
}

TEST_F(CheckpointTest, AnotherVersionIsRefusedByName) {
  save(env_, folder_, 1);
  const std::string path = folder_ + "/step-00000001/manifest.json";
  std::string text = read(path);
  text.replace(text.find("\"version\": 1"), 12, "\"version\": 9");
  text.erase(text.rfind(','), text.rfind('"') + 1 - text.rfind(','));  // its digest
  ASSERT_TRUE(write_file(env_, path, text).ok());
  const auto found = CheckpointFolder(env_, folder_, 2).newest(notes_);
  EXPECT_EQ(found.status().code(), Code::unsupported);
  EXPECT_NE(found.status().message().find('9'), std::string::npos);
}

TEST_F(CheckpointTest, ADamagedVersionIsNoOtherVersion) {
  for (int64_t step : {1, 2}) save(env_, folder_, step);
  const std::string path = folder_ + "/step-00000002/manifest.json";
  std::string text = read(path);
  text.replace(text.find("\"version\": 1"), 12, "\"version\": 3");
  ASSERT_TRUE(write_file(env_, path, text).ok());
  EXPECT_EQ(newest(env_, folder_), 1);
  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_NE(notes_[0].find("manifest"), std::string::npos) << notes_[0];
}

TEST_F(CheckpointTest, APowerCutAtAnyOperationLeavesAWholeOne) {
  int cuts = 0;
  for (int at = 0;; ++at) {
    const std::string folder = join_path(temporary_.path, "cut" + std::to_string(at));
    for (int64_t step : {1, 2}) save(env_, folder, step);
    PowerCut cut;
    cut.left = at;
    const Parts parts(3);
    const Status saved = CheckpointFolder(cut, folder, 2).save(3, state_of(3), parts.all());
    cut.restart();
    const int64_t found = newest(env_, folder);
    if (!cut.off) {
      EXPECT_TRUE(saved.ok());
      EXPECT_EQ(found, 3);
      break;
    }
    ++cuts;
    EXPECT_GE(found, 2) << "cut at operation " << at;
    save(env_, folder, 4);  // and the next save works over what was left
    EXPECT_EQ(newest(env_, folder), 4);
  }
  EXPECT_GT(cuts, 15);
}

TEST_F(CheckpointTest, AFullDiskLeavesWhatWasThere) {
  save(env_, folder_, 1);
  const Parts parts(2);
  SmallDisk small;  // known before
  small.free = 100;
  EXPECT_EQ(CheckpointFolder(small, folder_, 2).save(2, state_of(2), parts.all()).code(), Code::resource_exhausted);
  // Another program takes the space meanwhile: in the first part, the second, the state or the manifest.
  int full = 0;
  for (uint64_t room = 0;; room += 97, ++full) {
    SmallDisk disk;
    disk.room = room;
    const Status saved = CheckpointFolder(disk, folder_, 2).save(2, state_of(2), parts.all());
    if (saved.ok()) break;
    EXPECT_EQ(saved.code(), Code::resource_exhausted) << room;
    EXPECT_EQ(newest(env_, folder_), 1) << room;
  }
  EXPECT_GT(full, 50);
  EXPECT_EQ(newest(env_, folder_), 2);
}

}  // namespace
}  // namespace landfall
