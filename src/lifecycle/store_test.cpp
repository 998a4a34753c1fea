#include "lifecycle/store.h"

#include <gtest/gtest.h>

#include "lifecycle/pull.h"
#include "lifecycle/summary.h"
#include "lifecycle/testing.h"
#include "model/testing.h"

namespace landfall {
namespace {

// The disk of SmallDisk, which refuses to put a folder in place.
class StuckDisk : public SmallDisk {
 public:
  int64_t unix_time() override { return 1'700'000'000; }
  std::string stuck;  // no rename to this path
  Status rename(const std::string& from, const std::string& to) override {
    return to == stuck ? Status(Code::unavailable, "cannot rename: Input/output error") : SmallDisk::rename(from, to);
  }
};

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() : source(write_golden_model(read_golden("llama_tied"), Json())), store(env, folder.path + "/models") {}
  ~StoreTest() override { (void)remove_tree(env, source).ok(); }
  Result<StoredModel> import(const std::string& name, bool pack = false) {
    return store.import_model(source, {.name = name, .pack = pack}, watch);
  }
  std::vector<std::string> names() {
    std::vector<std::string> out;
    const auto models = store.list();
    for (const StoredModel& model : *models) out.push_back(model.name);
    return out;
  }
  bool is_empty() {
    const auto entries = env.list(store.root());
    return !entries.ok() || entries->empty();
  }

  TemporaryFolder folder;
  StuckDisk env;
  std::string source;
  Store store;
  Watch watch;
};

TEST_F(StoreTest, RemembersWhatTheFilesSaid) {
  const auto model = import("lab/tiny");
  ASSERT_TRUE(model.ok()) << model.status().message();
  const auto found = store.find("lab/tiny");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->architecture, "llama");
  EXPECT_EQ(found->parameters, 221'856);
  EXPECT_EQ(found->quantization, "F32");
  EXPECT_EQ(found->added, 1'700'000'000);
  EXPECT_EQ(found->path(), store.root() + "/lab/tiny");
  EXPECT_EQ(found->bytes(), model->bytes());
  EXPECT_TRUE(store.verify(*found, watch)->empty());
}

TEST_F(StoreTest, RefusesWhatDoesNotFitBeforeItCopies) {
  env.free = 100'000;
  const auto model = import("tiny");
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), Code::resource_exhausted);
  EXPECT_NE(model.status().message().find("100.0 kB are free"), std::string::npos) << model.status().message();
  EXPECT_TRUE(is_empty());
}

TEST_F(StoreTest, ADiskThatFillsLeavesNothingWhereverItHappens) {
  const auto whole = import("tiny");
  ASSERT_TRUE(whole.ok());
  const uint64_t all = whole->bytes() + *env.size(store.root() + "/tiny/landfall.json");
  ASSERT_TRUE(store.remove("tiny").ok());
  for (const uint64_t room : {uint64_t{0}, uint64_t{1}, uint64_t{1000}, all / 2, all - 1}) {
    env.room = room;
    const auto model = import("tiny");
    ASSERT_FALSE(model.ok()) << room;
    EXPECT_EQ(model.status().code(), Code::resource_exhausted) << model.status().message();
    EXPECT_TRUE(is_empty()) << room;
  }
  env.room = all;
  EXPECT_TRUE(import("tiny").ok());
}

TEST_F(StoreTest, StoppingAnImportLeavesNothing) {
  int asked = 0;
  watch.cancelled = [&] { return ++asked > 1; };
  EXPECT_EQ(import("tiny").status().code(), Code::cancelled);
  EXPECT_TRUE(is_empty());
}

TEST_F(StoreTest, TheOldModelStaysWhenTheNewOneCannotTakeItsPlace) {
  auto model = import("tiny");
  ASSERT_TRUE(model.ok());
  // A second one, ready in its staging folder.
  ASSERT_TRUE(env.make_directories(store.staging_folder("tiny")).ok());
  for (const StoredFile& file : model->files) {
    ASSERT_TRUE(write_file(env, store.staging_folder("tiny") + "/" + file.name,
                           *env.read(model->folder + "/" + file.name, 1 << 24))
                    .ok());
  }
  StoredModel next = *model;
  next.source = "elsewhere";
  env.stuck = store.folder_of_model("tiny");
  EXPECT_FALSE(store.commit(next).ok());
  EXPECT_FALSE(env.exists(env.stuck)) << "this disk cannot even put it back";
  env.stuck.clear();
  ASSERT_TRUE(env.rename(store.folder_of_model("tiny") + ".replaced", store.folder_of_model("tiny")).ok())
      << "but it is there";
  EXPECT_EQ(store.find("tiny")->source, model->source);
  ASSERT_TRUE(store.commit(next).ok());
  EXPECT_EQ(store.find("tiny")->source, "elsewhere");
  EXPECT_EQ(names(), std::vector<std::string>{"tiny"});
}

TEST_F(StoreTest, OneAtATimeWorksOnAModel) {
  auto held = store.lock("tiny");
  ASSERT_TRUE(held.ok()) << held.status().message();
  EXPECT_EQ(import("tiny").status().code(), Code::unavailable);
  ASSERT_TRUE(import("other").ok());
  ASSERT_TRUE(env.make_directories(store.staging_folder("tiny")).ok());
  const auto removed = store.remove("tiny");
  EXPECT_EQ(removed.status().code(), Code::unavailable) << "somebody is fetching it";
  EXPECT_NE(removed.status().message().find("'tiny'"), std::string::npos);
  held->reset();
  EXPECT_TRUE(store.remove("tiny").ok());
  EXPECT_TRUE(import("tiny").ok());
  EXPECT_EQ(names(), (std::vector<std::string>{"other", "tiny"}));
  EXPECT_EQ(env.list(store.root())->size(), 2u) << "no lock is left";
}

TEST_F(StoreTest, APullWaitsForAnotherAndTakesWhatItLeft) {
  auto held = store.lock("starter");
  ASSERT_TRUE(held.ok());
  std::vector<std::string> notes;
  watch.note = [&](const std::string& line) {
    notes.push_back(line);
    held->reset();  // the other one ends
  };
  const RunProgram no_python = [](const Program&) -> Result<ProgramEnd> {
    return Status(Code::not_found, "there is no python3");
  };
  EXPECT_EQ(pull_starter(env, store, "", no_python, watch).status().code(), Code::failed_precondition);
  ASSERT_FALSE(notes.empty());
  EXPECT_NE(notes[0].find("another landfall is at work on 'starter'; waiting"), std::string::npos) << notes[0];
  EXPECT_TRUE(is_empty());

  auto again = store.lock("starter");
  watch.note = nullptr;
  watch.cancelled = [] { return true; };
  EXPECT_EQ(pull_starter(env, store, "", no_python, watch).status().code(), Code::cancelled);
}

TEST_F(StoreTest, ADamagedRecordIsNotBelieved) {
  ASSERT_TRUE(import("tiny").ok());
  const std::string record = store.root() + "/tiny/landfall.json";
  const std::string good = *env.read(record, 1 << 20);
  for (const std::string& bad :
       {std::string("{"), std::string("[]"),
        std::string(R"({"landfall_record": 1, "files": [{"name": "../../x", "size": 1, "sha256": "00"}]})"),
        good.substr(0, good.size() / 2)}) {
    ASSERT_TRUE(write_file(env, record, bad).ok());
    const auto model = store.find("tiny");
    ASSERT_TRUE(model.ok()) << bad;
    EXPECT_FALSE(model->recorded);
    EXPECT_EQ(model->architecture, "llama") << "the files still say what they are";
    EXPECT_EQ(store.verify(*model, watch).status().code(), Code::failed_precondition);
  }
}

TEST_F(StoreTest, NamesCannotLeadOut) {
  for (const char* bad : {"", ".", "..", "../x", "/x", "a/../b", "a/b/c", "a/", "a:b:c", "a:", "a b", "a\n",
                          "x.partial", "x/y.replaced", ".x", "a/.x"}) {
    EXPECT_FALSE(check_model_name(bad).ok()) << bad;
    EXPECT_FALSE(store.remove(bad).ok()) << bad;
    EXPECT_FALSE(store.find(bad).ok()) << bad;
  }
  for (const char* good : {"starter", "a/b", "a/b:Q4_K_M", "DeepSeek-R1.5_x"})
    EXPECT_TRUE(check_model_name(good).ok()) << good;
}

TEST(Licence, StandsInTheFrontMatter) {
  EXPECT_EQ(licence_in_front_matter("---\nlicense: mit\n---\n"), "mit");
  EXPECT_EQ(licence_in_front_matter("---\r\ntags:\r\n- x\r\nlicense: \"apache-2.0\"\r\n---\r\n"), "apache-2.0");
  EXPECT_EQ(licence_in_front_matter("---\nlicense: other\nlicense_name: deepseek\n---\n"), "deepseek");
  EXPECT_EQ(licence_in_front_matter("---\ntags: x\n---\nlicense: mit\n"), "") << "behind the front matter it is text";
  EXPECT_EQ(licence_in_front_matter("# A model\nlicense: mit\n"), "");
  EXPECT_EQ(licence_in_front_matter("---"), "");
}

TEST(Program, GivesOutputAndExitCode) {
  const auto end =
      run_program({{"sh", "-c", "echo out; echo err >&2; echo $COLOUR; exit 7"}, {"COLOUR=green"}, {}, {}});
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(end->exit_code, 7);
  EXPECT_EQ(end->output, "out\nerr\ngreen\n");
  EXPECT_EQ(run_program({{"/nonexistent/program"}, {}, {}, {}}).status().code(), Code::not_found);
  EXPECT_EQ(run_program({{"sh", "-c", "kill -9 $$"}, {}, {}, {}})->exit_code, 137);
  EXPECT_EQ(run_program({{"sleep", "60"}, {}, {}, [] { return true; }}).status().code(), Code::cancelled);
}

TEST_F(StoreTest, APackedModelIsOneFileThatOpensAndIsVerified) {
  const auto model = import("packed", true);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ(model->files.size(), 1u);
  EXPECT_EQ(model->entry, "packed.landfall");
  EXPECT_EQ(model->architecture, "llama");
  const auto faults = store.verify(*model, watch);
  ASSERT_TRUE(faults.ok()) << faults.status().message();
  EXPECT_TRUE(faults->empty());
  const auto summary = summarize(env, model->path());
  ASSERT_TRUE(summary.ok()) << summary.status().message();
  // It is packed already, and a link has no file of its own.
  EXPECT_EQ(store.import_model(model->path(), {.name = "again", .pack = true}, watch).status().code(),
            Code::invalid_argument);
  EXPECT_EQ(store.import_model(source, {.name = "again", .link = true, .pack = true}, watch).status().code(),
            Code::invalid_argument);
  EXPECT_EQ(names(), std::vector<std::string>{"packed"});
}

}  // namespace
}  // namespace landfall
