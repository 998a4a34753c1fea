#include "lifecycle/download.h"

#include <gtest/gtest.h>

#include "lifecycle/testing.h"

namespace landfall {
namespace {

class DownloadTest : public ::testing::Test {
 protected:
  DownloadTest() {
    for (int i = 0; i < 1000; ++i) content += static_cast<char>('a' + i * i % 26);
    file = {"model.gguf", content.size(), sha256_of(content), ""};
    path = folder.path + "/model.gguf";
    partial = path + ".partial";
    watch.note = [this](const std::string& line) { notes += line + "\n"; };
  }
  Result<std::string> run() { return download(env, http, repository, file, path, watch, 0, content.size()); }
  std::string read(const std::string& name) { return env.exists(name) ? *env.read(name, 1 << 20) : "(none)"; }
  void put(const std::string& name, const std::string& text) { ASSERT_TRUE(write_file(env, name, text).ok()); }

  TemporaryFolder folder;
  SmallDisk env;
  FakeHttp http;
  HubRepository repository{"https://hub.example", "secret", "org/model"};
  HubFile file;
  std::string content, path, partial, notes;
  Watch watch;
};

TEST_F(DownloadTest, WritesWhatWasPromised) {
  http.answer = [&](const HttpGet&) { return FakeHttp::whole(content); };
  const auto sha256 = run();
  ASSERT_TRUE(sha256.ok()) << sha256.status().message();
  EXPECT_EQ(*sha256, file.sha256);
  EXPECT_EQ(read(path), content);
  EXPECT_FALSE(env.exists(partial));
  EXPECT_EQ(http.requests[0].url, "https://hub.example/org/model/resolve/main/model.gguf");
  EXPECT_EQ(http.requests[0].bearer, "secret");
}

TEST_F(DownloadTest, ContinuesWhereTheConnectionBrokeWithLongerAndLongerPauses) {
  int call = 0;
  http.answer = [&](const HttpGet& request) {
    ++call;
    if (call == 1) return FakeHttp::Answer{{200, {}}, content.substr(0, 300), Status(Code::unavailable, "broke")};
    if (call < 5) return FakeHttp::Answer{{503, {}}, "", {}};
    return FakeHttp::part(content, request.first_byte);
  };
  const auto sha256 = run();
  ASSERT_TRUE(sha256.ok()) << sha256.status().message();
  EXPECT_EQ(read(path), content);
  EXPECT_EQ(http.requests.back().first_byte, 300u);
  EXPECT_EQ(http.pauses, (std::vector<double>{1, 2, 4, 8}));
}

TEST_F(DownloadTest, GivesUpAfterFiveAttemptsWithoutANewByteAndKeepsTheRest) {
  put(partial, content.substr(0, 100));
  http.answer = [&](const HttpGet&) { return FakeHttp::Answer{{503, {}}, "", {}}; };
  const auto sha256 = run();
  EXPECT_EQ(sha256.status().code(), Code::unavailable);
  EXPECT_EQ(http.requests.size(), 5u);
  EXPECT_EQ(read(partial), content.substr(0, 100));
}

TEST_F(DownloadTest, WaitsAsLongAsABusyPeerAsks) {
  bool first = true;
  http.answer = [&](const HttpGet&) {
    if (!std::exchange(first, false)) return FakeHttp::whole(content);
    return FakeHttp::Answer{{429, {{"retry-after", "17"}}}, "", {}};
  };
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(http.pauses, std::vector<double>{17});
}

TEST_F(DownloadTest, HashesWhatAnEarlierCallLeft) {
  put(partial, content.substr(0, 640));
  http.answer = [&](const HttpGet& request) { return FakeHttp::part(content, request.first_byte); };
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(http.requests[0].first_byte, 640u);
  EXPECT_EQ(read(path), content);
}

TEST_F(DownloadTest, AsksForNothingWhenOnlyTheLastStepIsMissing) {
  put(partial, content);
  ASSERT_TRUE(run().ok());
  EXPECT_TRUE(http.requests.empty());
  EXPECT_EQ(read(path), content);
}

TEST_F(DownloadTest, StartsOverWhenTheRestDoesNotFitTheBeginning) {
  put(partial, std::string(640, 'x'));
  http.answer = [&](const HttpGet& request) {
    return request.first_byte > 0 ? FakeHttp::part(content, request.first_byte) : FakeHttp::whole(content);
  };
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(http.requests.size(), 2u);
  EXPECT_EQ(read(path), content);
  EXPECT_NE(notes.find("starting over"), std::string::npos);
}

TEST_F(DownloadTest, StartsOverWhenThePeerKnowsNoRange) {
  put(partial, content.substr(0, 640));
  http.answer = [&](const HttpGet& request) {
    return request.first_byte > 0 ? FakeHttp::Answer{{416, {}}, "", {}} : FakeHttp::whole(content);
  };
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(read(path), content);
}

TEST_F(DownloadTest, LeavesNothingOfWhatHasTheWrongChecksum) {
  std::string wrong = content;
  wrong[500] ^= 1;
  http.answer = [&](const HttpGet&) { return FakeHttp::whole(wrong); };
  const auto sha256 = run();
  ASSERT_FALSE(sha256.ok());
  EXPECT_EQ(sha256.status().code(), Code::data_loss);
  EXPECT_NE(sha256.status().message().find(sha256_of(wrong)), std::string::npos);
  EXPECT_NE(sha256.status().message().find(file.sha256), std::string::npos);
  EXPECT_FALSE(env.exists(partial));
  EXPECT_FALSE(env.exists(path));
}

TEST_F(DownloadTest, TakesNoByteMoreThanWasPromised) {
  http.answer = [&](const HttpGet&) { return FakeHttp::whole(content + "more"); };
  const auto sha256 = run();
  EXPECT_EQ(sha256.status().code(), Code::data_loss);
  EXPECT_FALSE(env.exists(path));
}

TEST_F(DownloadTest, RefusesAnotherPartThanItAskedFor) {
  put(partial, content.substr(0, 640));
  http.answer = [&](const HttpGet&) { return FakeHttp::part(content, 600); };
  EXPECT_EQ(run().status().code(), Code::data_loss);
  EXPECT_FALSE(env.exists(path));
}

TEST_F(DownloadTest, KeepsWhatCameWhenTheDiskIsFullAndContinuesFromThere) {
  http.answer = [&](const HttpGet& request) {
    return request.first_byte > 0 ? FakeHttp::part(content, request.first_byte) : FakeHttp::whole(content);
  };
  env.room = 333;
  const auto full = run();
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.status().code(), Code::resource_exhausted);
  EXPECT_NE(full.status().message().find("the same command continues it"), std::string::npos);
  EXPECT_EQ(http.requests.size(), 1u) << "a full disk does not empty itself";
  EXPECT_EQ(read(partial), content.substr(0, 333));
  env.room = UINT64_MAX;
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(http.requests.back().first_byte, 333u);
  EXPECT_EQ(read(path), content);
}

TEST_F(DownloadTest, SmallFilesAreCheckedByTheNameThatGitGivesThem) {
  content = "hello\n";
  file = {"README.md", content.size(), "", "ce013625030ba8dba906f756967f9e9ca394464a"};  // git hash-object
  http.answer = [&](const HttpGet&) { return FakeHttp::whole(content); };
  const auto sha256 = run();
  ASSERT_TRUE(sha256.ok()) << sha256.status().message();
  EXPECT_EQ(*sha256, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");  // sha256sum
  file.git_oid[0] = 'd';
  ASSERT_TRUE(env.remove(path).ok());
  EXPECT_EQ(run().status().code(), Code::data_loss);
}

TEST_F(DownloadTest, AnEmptyFileIsAFile) {
  file = {"empty", 0, sha256_of(""), ""};
  http.answer = [&](const HttpGet&) { return FakeHttp::whole(""); };
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(read(path), "");
}

TEST_F(DownloadTest, StopsBetweenAttemptsWhenAsked) {
  watch.cancelled = [&] { return !http.pauses.empty(); };
  http.answer = [&](const HttpGet&) { return FakeHttp::Answer{{503, {}}, "", {}}; };
  EXPECT_EQ(run().status().code(), Code::cancelled);
  EXPECT_EQ(http.requests.size(), 1u);
}

}  // namespace
}  // namespace landfall
