#include "base/env.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/testing.h"

namespace landfall {
namespace {

// A folder of its own for each test, removed with what it holds.
class EnvTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return join_path(folder_, name); }
  const TemporaryFolder temporary_;
  const std::string& folder_ = temporary_.path;
  Env& env_ = Env::real();
};

// The real one, except that the named step fails.
class FailingEnv : public EnvOverReal {
 public:
  std::string fails;  // "open", "append", "sync" or "rename"

  Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool append) override {
    if (fails == "open") return staged(path);
    LANDFALL_ASSIGN(auto file, real_.open_output(path, append));
    return std::unique_ptr<OutputFile>(std::make_unique<File>(*this, std::move(file), path));
  }
  Status rename(const std::string& from, const std::string& to) override {
    return fails == "rename" ? staged(from) : real_.rename(from, to);
  }

 private:
  static Status staged(const std::string& path) {
    return {Code::resource_exhausted, "cannot write " + path + ": staged"};
  }
  class File : public OutputFile {
   public:
    File(FailingEnv& env, std::unique_ptr<OutputFile> file, std::string path)
        : env_(env), file_(std::move(file)), path_(std::move(path)) {}
    Status append(std::span<const std::byte> data) override {
      if (env_.fails != "append") return file_->append(data);
      LANDFALL_TRY(file_->append(data.subspan(0, data.size() / 2)));  // torn
      return staged(path_);
    }
    Status sync() override { return env_.fails == "sync" ? staged(path_) : file_->sync(); }

   private:
    FailingEnv& env_;
    std::unique_ptr<OutputFile> file_;
    std::string path_;
  };
};

TEST_F(EnvTest, WriteFileReplacesAllOrNothing) {
  ASSERT_TRUE(write_file(env_, path("a"), "old content").ok());
  EXPECT_EQ(env_.read(path("a")).value(), "old content");
  for (const char* step : {"open", "append", "sync", "rename"}) {
    FailingEnv failing;
    failing.fails = step;
    const Status status = write_file(failing, path("a"), "new content");
    EXPECT_EQ(status.code(), Code::resource_exhausted) << step;
    EXPECT_NE(status.message().find("staged"), std::string::npos) << "the first cause is told, not the cleaning up";
    EXPECT_EQ(env_.read(path("a")).value(), "old content") << step;
    EXPECT_EQ(env_.list(folder_)->size(), 1u) << "nothing half-written stays after " << step;
  }
  ASSERT_TRUE(write_file(env_, path("a"), "new").ok());
  EXPECT_EQ(env_.read(path("a")).value(), "new");
  EXPECT_EQ(env_.list(folder_)->size(), 1u);
}

TEST_F(EnvTest, AppendsAndTruncates) {
  {
    auto file = env_.open_output(path("log"), false);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->append(std::string_view("one ")).ok());
    ASSERT_TRUE((*file)->append(std::string_view("two")).ok());
    ASSERT_TRUE((*file)->sync().ok());
  }
  {
    auto file = env_.open_output(path("log"), true);
    ASSERT_TRUE((*file)->append(std::string_view(" three")).ok());
  }
  EXPECT_EQ(env_.read(path("log")).value(), "one two three");
  { auto file = env_.open_output(path("log"), false); }
  EXPECT_EQ(env_.read(path("log")).value(), "");
}

TEST_F(EnvTest, ReadsNoMoreThanTheLimit) {
  ASSERT_TRUE(write_file(env_, path("a"), "12345").ok());
  EXPECT_EQ(env_.read(path("a"), 5).value(), "12345");
  const auto over = env_.read(path("a"), 4);
  ASSERT_FALSE(over.ok());
  EXPECT_NE(over.status().message().find(path("a")), std::string::npos) << over.status().message();
}

TEST_F(EnvTest, AFileThatMayNotGrowIsAFullDisk) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{}, small{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  small = {1000, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = write_file(env_, path("a"), std::string(2000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(status.code(), Code::resource_exhausted) << status.message();
  EXPECT_NE(status.message().find("ulimit -f"), std::string::npos) << status.message();
  EXPECT_FALSE(env_.exists(path("a")));
}

TEST_F(EnvTest, ALockIsHeldOnceAndGoneAfterwards) {
  auto first = env_.lock(path("lock"));
  ASSERT_TRUE(first.ok()) << first.status().message();
  const auto second = env_.lock(path("lock"));
  EXPECT_EQ(second.status().code(), Code::unavailable);
  EXPECT_NE(second.status().message().find(path("lock")), std::string::npos);
  EXPECT_TRUE(env_.lock(path("other")).ok());
  first->reset();
  EXPECT_TRUE(env_.list(folder_)->empty());
  EXPECT_TRUE(env_.lock(path("lock")).ok());
  EXPECT_FALSE(env_.lock(path("no/such/folder")).ok());
}

TEST_F(EnvTest, ALockEndsWithItsProcess) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto held = env_.lock(path("lock"));
    const char byte = held.ok() ? 'y' : 'n';
    (void)!::write(pipe[1], &byte, 1);
    ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_FALSE(env_.lock(path("lock")).ok());
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(pipe[0]);
  ::close(pipe[1]);
  EXPECT_TRUE(env_.exists(path("lock"))) << "nobody could clear it away";
  EXPECT_TRUE(env_.lock(path("lock")).ok());
}

TEST_F(EnvTest, MapsWholeFiles) {
  ASSERT_TRUE(write_file(env_, path("a"), "mapped").ok());
  auto file = env_.map(path("a"));
  ASSERT_TRUE(file.ok());
  const auto bytes = (*file)->bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), "mapped");
  ASSERT_TRUE(env_.remove(path("a")).ok());
  EXPECT_EQ(static_cast<char>(bytes[0]), 'm');  // lives as long as the object
  ASSERT_TRUE(write_file(env_, path("empty"), "").ok());
  auto empty = env_.map(path("empty"));
  ASSERT_TRUE(empty.ok()) << empty.status().message();
  EXPECT_TRUE((*empty)->bytes().empty());
}

TEST_F(EnvTest, ErrorsNamePathAndReason) {
  const std::string absent = path("absent");
  const Status statuses[] = {env_.map(absent).status(),  env_.read(absent).status(), env_.size(absent).status(),
                             env_.list(absent).status(), env_.remove(absent),        env_.rename(absent, path("b"))};
  for (const Status& status : statuses) {
    EXPECT_EQ(status.code(), Code::not_found) << status.message();
    EXPECT_NE(status.message().find(folder_), std::string::npos) << status.message();
  }
  EXPECT_FALSE(env_.open_output(path("no/such/folder"), false).ok());
  EXPECT_FALSE(env_.read(folder_).ok()) << "a folder is not a file";
  EXPECT_FALSE(env_.map(folder_).ok());
}

TEST_F(EnvTest, ListsSortedWithKinds) {
  ASSERT_TRUE(env_.make_directories(path("sub/deeper")).ok());
  ASSERT_TRUE(env_.make_directories(path("sub/deeper")).ok()) << "already there is no error";
  ASSERT_TRUE(write_file(env_, path("b"), "12").ok());
  ASSERT_TRUE(write_file(env_, path("a"), "").ok());
  const auto entries = env_.list(folder_);
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ(entries.value()[0].name, "a");
  EXPECT_EQ(entries.value()[1].name, "b");
  EXPECT_EQ(entries.value()[1].size, 2u);
  EXPECT_TRUE(entries.value()[2].is_directory);
  EXPECT_TRUE(env_.is_directory(path("sub")));
  EXPECT_FALSE(env_.is_directory(path("b")));
  EXPECT_TRUE(env_.exists(path("b")));
  EXPECT_FALSE(env_.exists(path("c")));
  EXPECT_FALSE(env_.make_directories(path("b/under/a/file")).ok());
}

TEST_F(EnvTest, NamesOfTheSame) {
  ASSERT_TRUE(env_.make_directories(path("sub")).ok());
  ASSERT_TRUE(write_file(env_, path("sub/a"), "1").ok());
  ASSERT_TRUE(write_file(env_, path("b"), "1").ok());
  ASSERT_EQ(::symlink(path("sub/a").c_str(), path("link").c_str()), 0);
  EXPECT_TRUE(env_.same(path("sub/a"), path("./sub/../sub/a")));
  EXPECT_TRUE(env_.same(path("sub/a"), path("link")));
  EXPECT_TRUE(env_.same(path("sub"), path("sub/")));
  EXPECT_FALSE(env_.same(path("sub/a"), path("b")));
  EXPECT_FALSE(env_.same(path("none"), path("none")));
}

TEST_F(EnvTest, AFolderGoesWithItsFilesOrNotAtAll) {
  ASSERT_TRUE(env_.make_directories(path("sub/within")).ok());
  ASSERT_TRUE(write_file(env_, path("sub/a"), "1").ok());
  EXPECT_EQ(remove_folder(env_, path("sub")).code(), Code::failed_precondition);
  EXPECT_TRUE(env_.exists(path("sub/a")));
  ASSERT_TRUE(env_.remove(path("sub/within")).ok());
  EXPECT_TRUE(remove_folder(env_, path("sub")).ok());
  EXPECT_FALSE(env_.exists(path("sub")));
  EXPECT_TRUE(remove_folder(env_, path("sub")).ok());
}

TEST(UsedMemory, LeavesOutWhatFilesHold) {
  EXPECT_EQ(used_memory(1000, "anon 500\ninactive_file 300\nactive_file 100\nslab 7\n"), 600u);
  EXPECT_EQ(used_memory(1000, "active_file 100\n"), 900u);
  EXPECT_EQ(used_memory(1000, "inactive_file 2000\n"), 0u);
  EXPECT_EQ(used_memory(1000, ""), 1000u);
}

TEST_F(EnvTest, ClocksRandomnessAndMemory) {
  const double then = env_.seconds();
  EXPECT_GE(env_.seconds(), then);
  EXPECT_GT(env_.unix_time(), 1'600'000'000);
  EXPECT_NE(env_.random_u64(), env_.random_u64());
  EXPECT_GT(env_.available_memory(), 1u << 20);
  EXPECT_GT(env_.free_space(folder_).value(), 0u);
}

TEST(EnvPath, JoinsAndSplits) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(file_name("/x/y.gguf"), "y.gguf");
  EXPECT_EQ(file_name("y"), "y");
  EXPECT_EQ(folder_of("/x/y"), "/x");
  EXPECT_EQ(folder_of("/x"), "/");
  EXPECT_EQ(folder_of("x"), ".");
}

}  // namespace
}  // namespace landfall
