// The corpus of a small made-up WordNet and of dictionaries that tell everything WordNet says again: nothing of what is
// set apart may be in what is learned. Texts are compared word by word here, without the hashes that the corpus uses.
#include "lifecycle/corpus.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <set>

#include "data/examples.h"
#include "data/task.h"
#include "lifecycle/testing.h"

namespace landfall {
namespace {

constexpr int kOfEachKind = 60;  // general and medical synsets

std::string gzipped(const std::string& text) {
  std::string out(text.size() + 1024, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string in = text;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A word of four letters that no other number has.
std::string word(int number) {
  std::string out = "zzzz";
  for (char& c : out) {
    c = static_cast<char>('a' + number % 20);
    number /= 20;
  }
  return out;
}

struct Made {
  std::string lemma, definition;
};

// Kind 0: general, 1: medical. Ten words of its own define each.
Made made(int kind, int i) {
  const int base = (kind * kOfEachKind + i) * 11 + 200;
  Made out{word(base), ""};
  for (int k = 1; k <= 10; ++k) out.definition += (k == 1 ? "" : " ") + word(base + k);
  return out;
}

// The words between single spaces, with one before and behind.
std::string words_of(const std::string& text) {
  std::string out = " ";
  for (const char c : text) {
    const char lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (std::isalnum(static_cast<unsigned char>(c)))
      out += lower;
    else if (out.back() != ' ')
      out += ' ';
  }
  return out.back() == ' ' ? out : out + ' ';
}

std::string text_of(const Example& example) {
  std::string out = example.text;
  for (const ChatMessage& message : example.messages) out += "\n" + message.content;
  return out;
}

class CorpusTest : public ::testing::Test {
 protected:
  CorpusTest() {
    std::string nouns = "00000001 03 n 01 entity 0 000 | that which is\n00000002 26 n 01 ill_health 0 000 | a state\n";
    std::string gcide, foldoc = "compiler\n\n   A program that translates.\n";
    for (int kind = 0; kind < 2; ++kind) {
      for (int i = 0; i < kOfEachKind; ++i) {
        const Made m = made(kind, i);
        char line[64];
        std::snprintf(line, sizeof line, "%08d 03 n 01 ", 1000 * (kind + 1) + i);
        nouns += line + m.lemma + " 0 001 @ 0000000" + (kind == 1 ? "2" : "1") + " n 0000 | " + m.definition +
                 "; \"an example with " + m.lemma + "\"\n";
        // The definition in capitals in the midst of an entry, its last eight words in another, seven in a third.
        std::string capitals = m.definition;
        for (char& c : capitals) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        gcide += "Whole" + word(i) + " \\x\\, n.\n   Once, " + capitals + ", and on.\n\n";
        gcide += "Eight" + word(i) + ", n.\n   " + m.definition.substr(10) + ".\n\n";
        gcide += "Seven" + word(i) + ", n. (Med.)\n   " + m.definition.substr(15) + ".\n\n";
      }
    }
    options.wordnet_folder = join_path(folder.path, "wordnet");
    options.dictionary_folder = join_path(folder.path, "dictd");
    EXPECT_TRUE(env.make_directories(options.wordnet_folder).ok());
    EXPECT_TRUE(env.make_directories(options.dictionary_folder).ok());
    put("wordnet/data.noun", nouns);
    for (const char* other : {"wordnet/data.verb", "wordnet/data.adj", "wordnet/data.adv"}) put(other, "");
    put("dictd/gcide.dict.dz", gzipped(gcide));
    put("dictd/foldoc.dict.dz", gzipped(foldoc));
  }
  void put(const std::string& name, const std::string& content) {
    EXPECT_TRUE(write_file(env, join_path(folder.path, name), content).ok());
  }
  std::string out() { return join_path(folder.path, "corpus"); }
  std::string out(const std::string& name) { return join_path(out(), name); }
  std::string read(const std::string& path) {
    const auto text = env.read(path, size_t{1} << 30);
    EXPECT_TRUE(text.ok()) << text.status().message();
    return text.ok() ? *text : "";
  }
  std::vector<std::string> training_texts(const std::string& name) {
    auto reader = ExampleReader::open(env, {out(name)});
    EXPECT_TRUE(reader.ok()) << reader.status().message();
    std::vector<std::string> texts;
    Example example;
    for (auto more = reader->next(example); more.ok() && *more; more = reader->next(example)) {
      texts.push_back(text_of(example));
    }
    EXPECT_EQ(reader->report().bad, 0u);
    return texts;
  }
  Task task(const std::string& name) {
    const std::string path = out("tasks/" + name + ".jsonl");
    auto parsed = parse_task(path, read(path));
    EXPECT_TRUE(parsed.ok()) << parsed.status().message();
    return *parsed;
  }

  TemporaryFolder folder;
  SmallDisk env;
  CorpusOptions options;
};

constexpr const char* kTrainingFiles[] = {"general.jsonl", "medicine.jsonl", "chat.jsonl", "medicine_chat.jsonl"};

TEST_F(CorpusTest, NothingThatIsAskedIsLearned) {
  const auto report = write_corpus(env, out(), options, {});
  ASSERT_TRUE(report.ok()) << report.status().message();
  std::set<std::string> asked;
  for (const char* name : {"definitions", "medicine"}) {
    const Task t = task(name);
    EXPECT_EQ(t.items.size(), kOfEachKind / 5u) << name;
    for (const TaskItem& item : t.items) {
      asked.insert(item.answer);
      EXPECT_EQ(std::set<std::string>(item.choices.begin(), item.choices.end()).size(), 4u);
      // The words of the question and the right choice are of one synset, and of the kind of the task.
      bool found = false;
      for (int i = 0; i < kOfEachKind; ++i) {
        const Made m = made(std::string(name) == "medicine", i);
        found =
            found || (item.answer == m.definition && item.question == "What does the noun \"" + m.lemma + "\" mean?");
      }
      EXPECT_TRUE(found) << item.question;
    }
  }
  ASSERT_EQ(asked.size(), 2 * kOfEachKind / 5u);
  for (const char* name : {"definitions", "medicine"}) {
    for (const TaskItem& item : task(name).items) {
      for (const std::string& choice : item.choices) EXPECT_TRUE(asked.contains(choice)) << "was learned: " << choice;
    }
  }

  std::string learned;
  size_t rows = 0, wholes = 0, eights = 0, sevens = 0;
  for (const char* name : kTrainingFiles) {
    for (const std::string& text : training_texts(name)) {
      learned += words_of(text) + "|";
      ++rows;
      wholes += text.starts_with("Whole");
      eights += text.starts_with("Eight");
      sevens += text.starts_with("Seven");
    }
  }
  EXPECT_GT(rows, 200u);
  for (const std::string& definition : asked) {
    const std::string words = words_of(definition);  // each word has four letters
    for (size_t first = 0; first + 8 <= 10; ++first) {
      EXPECT_EQ(learned.find(words.substr(5 * first, 5 * 8 + 1)), std::string::npos) << definition;
    }
  }
  // Everything else is there: what was not asked, and runs of seven words of what was.
  const size_t all = 2 * kOfEachKind;
  EXPECT_EQ(wholes, all - asked.size());
  EXPECT_EQ(eights, all - asked.size());
  EXPECT_EQ(sevens, all);
  for (int kind = 0; kind < 2; ++kind) {
    for (int i = 0; i < kOfEachKind; ++i) {
      const Made m = made(kind, i);
      EXPECT_EQ(learned.find(words_of(m.definition)) == std::string::npos, asked.contains(m.definition)) << m.lemma;
    }
  }
  uint64_t dropped = 0;
  for (const CorpusFile& file : report->files) dropped += file.dropped;
  EXPECT_EQ(dropped, 2 * asked.size());  // the entries of dictionaries; the synsets were never rows
}

TEST_F(CorpusTest, TheSeedDecidesAllAndEverythingIsWrittenAnew) {
  ASSERT_TRUE(write_corpus(env, out(), options, {}).ok());
  std::vector<std::string> names = {"tasks/definitions.jsonl", "tasks/medicine.jsonl", "tasks/arithmetic.jsonl",
                                    "SOURCES.md", "corpus.json"};
  names.insert(names.end(), std::begin(kTrainingFiles), std::end(kTrainingFiles));
  std::vector<std::string> before;
  for (const std::string& name : names) before.push_back(read(out(name)));
  put("corpus/old.jsonl", "");
  ASSERT_TRUE(write_corpus(env, out() + "/", options, {}).ok());
  EXPECT_FALSE(env.exists(out("old.jsonl")));
  for (size_t i = 0; i < names.size(); ++i) EXPECT_EQ(read(out(names[i])), before[i]) << names[i];
  options.seed = 1;
  ASSERT_TRUE(write_corpus(env, out(), options, {}).ok());
  for (size_t i = 0; i < 3; ++i) EXPECT_NE(read(out(names[i])), before[i]) << names[i];
}

TEST_F(CorpusTest, OnErrorsWhatWasThereStays) {
  EXPECT_TRUE(env.make_directories(out()).ok());
  put("corpus/notes.txt", "mine");
  EXPECT_EQ(write_corpus(env, out(), options, {}).status().code(), Code::failed_precondition);
  EXPECT_EQ(read(out("notes.txt")), "mine");
  ASSERT_TRUE(remove_tree(env, out()).ok());

  ASSERT_TRUE(write_corpus(env, out(), options, {}).ok());
  const std::string before = read(out("general.jsonl"));
  env.room = 20'000;
  EXPECT_EQ(write_corpus(env, out(), options, {}).status().code(), Code::resource_exhausted);
  env.room = UINT64_MAX;
  EXPECT_EQ(read(out("general.jsonl")), before);
  EXPECT_FALSE(env.exists(out() + ".partial"));

  ASSERT_TRUE(env.remove(join_path(options.dictionary_folder, "gcide.dict.dz")).ok());
  const Status missing = write_corpus(env, out(), options, {}).status();
  EXPECT_EQ(missing.code(), Code::failed_precondition);
  EXPECT_NE(missing.message().find("script/setup --for tide"), std::string::npos) << missing.message();
}

}  // namespace
}  // namespace landfall
