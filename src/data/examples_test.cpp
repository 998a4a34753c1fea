#include "data/examples.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "data/source_rows.h"
#include "data/testing.h"

namespace landfall {
namespace {

struct Read {
  std::vector<Example> examples;
  ReadReport report;
  Status end;
};

Read read(const std::string& name, const std::string& content, const std::string& quarantine = "") {
  Read out;
  const std::string path = write_example_file(temporary_path(name), content);
  Result<ExampleReader> reader = ExampleReader::open(Env::real(), {path}, quarantine);
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  if (!reader.ok()) return out;
  while (true) {
    Example example;
    const Result<bool> more = reader->next(example);
    if (!more.ok()) out.end = more.status();
    if (!more.ok() || !*more) break;
    out.examples.push_back(std::move(example));
  }
  EXPECT_LE(reader->bytes_read(), reader->bytes());
  out.report = reader->report();
  return out;
}

// The cause for which `row` is refused, among good ones.
std::string cause(const std::string& row, const std::string& good = R"({"text": "good"})") {
  const Read out = read("one_bad.jsonl", good + "\n" + row + "\n" + good + "\n");
  EXPECT_TRUE(out.end.ok()) << out.end.message();
  EXPECT_EQ(out.examples.size(), 2u) << row;
  EXPECT_EQ(out.report.bad, 1u) << row;
  if (out.report.first_bad.size() != 1) return "";
  EXPECT_EQ(out.report.first_bad[0].line, 2u);
  return out.report.first_bad[0].cause;
}

std::string shown(const std::vector<ChatMessage>& messages) {
  std::string out;
  for (const ChatMessage& m : messages) {
    out += m.role + ":" + (m.reasoning.empty() ? "" : "(" + m.reasoning + ")") + m.content + "|";
  }
  return out;
}

TEST(Examples, a_text_file_is_one_document_and_form_feeds_separate_several) {
  const Read one = read("one.txt", "First paragraph.\n\nSecond.\n");
  ASSERT_EQ(one.examples.size(), 1u);
  EXPECT_EQ(one.examples[0].kind, Example::Kind::text);
  EXPECT_EQ(one.examples[0].text, "First paragraph.\n\nSecond.\n");
  EXPECT_EQ(one.report.shape, RowShape::documents);
  const Read three = read("three.txt", "\xEF\xBB\xBFone\n\f\n\n\f\r\ntwo\n\nstill \f two\n\f\nthree");
  ASSERT_EQ(three.examples.size(), 3u);
  EXPECT_EQ(three.examples[0].text, "one\n");
  EXPECT_EQ(three.examples[1].text, "two\n\nstill \f two\n");
  EXPECT_EQ(three.examples[1].line, 5u);
  EXPECT_EQ(three.examples[2].text, "three");
}

TEST(Examples, a_document_larger_than_a_row_is_cut_at_a_line_end) {
  std::string line(999'999, 'x');
  line += '\n';
  std::string content;
  for (int i = 0; i < 40; ++i) content += line;
  const Read out = read("large.txt", content);
  ASSERT_TRUE(out.end.ok()) << out.end.message();
  ASSERT_EQ(out.examples.size(), 3u);
  EXPECT_EQ(out.examples[0].text.size(), 16'000'000u);
  EXPECT_EQ(out.examples[1].line, 17u);
  EXPECT_EQ(out.examples[2].line, 33u);
  std::string joined;
  for (const Example& example : out.examples) joined += example.text;
  EXPECT_EQ(joined, content);
}

TEST(Examples, every_shape_is_recognised) {
  const Read text = read("text.jsonl", "{\"text\": \"a\"}\r\n\n  \n{\"text\": \"b\", \"meta\": 3}");
  EXPECT_EQ(text.report.shape, RowShape::text);
  ASSERT_EQ(text.examples.size(), 2u);
  EXPECT_EQ(text.examples[1].text, "b");
  EXPECT_EQ(text.examples[1].line, 4u);

  const Read alpaca = read("alpaca.jsonl", R"({"instruction": "Add", "input": "1 2", "output": "3"}
{"instruction": "Greet", "input": "", "output": "Hi", "system": "Be kind"}
{"instruction": "Greet", "output": "<think>\nwell\n</think>\n\nHi"})");
  EXPECT_EQ(alpaca.report.shape, RowShape::alpaca);
  ASSERT_EQ(alpaca.examples.size(), 3u);
  EXPECT_EQ(shown(alpaca.examples[0].messages), "user:Add\n\n1 2|assistant:3|");
  EXPECT_EQ(shown(alpaca.examples[1].messages), "system:Be kind|user:Greet|assistant:Hi|");
  EXPECT_EQ(shown(alpaca.examples[2].messages), "user:Greet|assistant:(well)Hi|");

  const Read sharegpt =
      read("sharegpt.jsonl", R"({"conversations": [{"from": "human", "value": "a"},
)"
                             R"({"from": "gpt", "value": "b"}, {"from": "human", "value": "never answered"}]})");
  EXPECT_FALSE(sharegpt.end.ok());  // a row is a line
  const Read one_line = read("sharegpt.ndjson", R"({"conversations": [{"from": "human", "value": "a"}, )"
                                                R"({"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}]})");
  EXPECT_EQ(one_line.report.shape, RowShape::sharegpt);
  ASSERT_EQ(one_line.examples.size(), 1u);
  EXPECT_EQ(shown(one_line.examples[0].messages), "user:a|assistant:b|");

  const Read openai = read("openai.jsonl", R"({"messages": [{"role": "developer", "content": "s"}, )"
                                           R"({"role": "user", "content": [{"type": "text", "text": "a"}]}, )"
                                           R"({"role": "assistant", "content": "b", "reasoning_content": "r"}]})");
  EXPECT_EQ(openai.report.shape, RowShape::openai);
  ASSERT_EQ(openai.examples.size(), 1u);
  EXPECT_EQ(openai.examples[0].kind, Example::Kind::chat);
  EXPECT_EQ(shown(openai.examples[0].messages), "system:s|user:a|assistant:(r)b|");
}

TEST(Examples, an_array_is_read_row_by_row) {
  const Read out =
      read("array.json", " [\n {\"text\": \"a, ]\\\" }\"},\n\n {\"text\":\n \"b\"} , {\"text\": \"c\"}\n]\n");
  ASSERT_TRUE(out.end.ok()) << out.end.message();
  ASSERT_EQ(out.examples.size(), 3u);
  EXPECT_EQ(out.examples[0].text, "a, ]\" }");
  EXPECT_EQ(out.examples[1].line, 4u);
  EXPECT_EQ(out.examples[2].line, 5u);
  const Read cut = read("cut.json", "[{\"text\": \"a\"},\n{\"text\": \"b");
  EXPECT_EQ(cut.end.code(), Code::data_loss);
  EXPECT_NE(cut.end.message().find("the row that begins on line 2 has no end"), std::string::npos) << cut.end.message();
  EXPECT_FALSE(read("empty_array.json", "[]").end.ok());
  const Read bad =
      read("bad_in_array.json", "[{\"text\": \"a\"}, {\"text\": }, 5, {\"text\": \"b\"}, {\"text\": \"c\"}]");
  EXPECT_TRUE(bad.end.ok()) << bad.end.message();
  EXPECT_EQ(bad.examples.size(), 3u);
  EXPECT_EQ(bad.report.bad, 2u);
}

TEST(Examples, preferences_are_read_in_the_published_forms) {
  const Read out = read("pairs.jsonl", R"({"prompt": "q", "chosen": "good", "rejected": "bad"}
{"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "good"}], "rejected": [{"role": "assistant", "content": "bad"}]}
{"chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "good"}], "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}]}
{"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "good"}, "rejected": {"from": "gpt", "value": "bad"}})");
  ASSERT_TRUE(out.end.ok()) << out.end.message();
  EXPECT_EQ(out.report.shape, RowShape::preference);
  ASSERT_EQ(out.examples.size(), 4u);
  for (const Example& example : out.examples) {
    EXPECT_EQ(example.kind, Example::Kind::preference);
    EXPECT_EQ(shown(example.messages), "user:q|") << example.line;
    EXPECT_EQ(shown({example.chosen, example.rejected}), "assistant:good|assistant:bad|") << example.line;
  }
}

TEST(Examples, bad_rows_are_quarantined_with_line_and_cause) {
  EXPECT_EQ(cause(R"({"text": 3.5})"), "\"text\" is a number, not text");
  EXPECT_EQ(cause(R"({"text": null})"), "\"text\" is missing or null, not text");
  EXPECT_EQ(cause(R"({"text": "  \n"})"), "\"text\" is empty");
  EXPECT_EQ(cause("[1]"), "is no JSON object");
  EXPECT_EQ(cause("{\"text\": \"\xC3(\"}"), "is not UTF-8 from byte 10 of the row on");
  EXPECT_NE(cause(R"({"text": NaN})").find("not valid JSON"), std::string::npos);
  EXPECT_NE(cause(R"({"tex": "a", "b": 1})").find("has the keys \"tex\", \"b\" and so no known shape"),
            std::string::npos);
  EXPECT_NE(cause(R"({"messages": []})").find("OpenAI chat rows in a file of rows of text"), std::string::npos);
  EXPECT_NE(cause(std::string(100'000, '[')).find("not valid JSON"), std::string::npos);
  EXPECT_NE(cause("{\"text\": \"" + std::string(kMaxRowBytes, 'x') + "\"}").find("at most 16777216 are read"),
            std::string::npos);

  const std::string chat = R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})";
  EXPECT_EQ(cause(R"({"messages": [{"role": "wizard", "content": "a"}]})", chat),
            "message 1 has the role \"wizard\"; known are system, user and assistant");
  EXPECT_EQ(cause(R"({"messages": [{"role": "user", "content": "a"}]})", chat),
            "there is no assistant's answer to learn from");
  EXPECT_EQ(cause(R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]})", chat),
            "message 2 (assistant) is empty");
  EXPECT_EQ(cause(R"({"messages": [{"role": "user", "content": 7}]})", chat), "message 1 (user) is a number, not text");
  EXPECT_EQ(cause(R"({"messages": {"role": "user"}})", chat), "\"messages\" is an object, not a list");
  std::string many = R"({"messages": [)";
  for (int i = 0; i < 1025; ++i) many += R"({"role": "user", "content": "a"},)";
  EXPECT_EQ(cause(many + R"({"role": "assistant", "content": "a"}]})", chat),
            "\"messages\" has 1026 messages; at most 1024 are read");

  const std::string pair = R"({"prompt": "q", "chosen": "good", "rejected": "bad"})";
  EXPECT_EQ(cause(R"({"prompt": "q", "chosen": "same", "rejected": "same"})", pair),
            "\"chosen\" and \"rejected\" are the same answer");
  EXPECT_EQ(cause(R"({"chosen": "good", "rejected": "bad"})", pair), "there is no \"prompt\" before the answers");
}

TEST(Examples, the_quarantine_file_holds_each_bad_row) {
  const std::string path = temporary_path("quarantine/bad.jsonl");
  const std::string good = "{\"text\": \"a\"}\n";
  const Read out = read("some.jsonl", good + "broken \xFF\n" + good + "{\"text\": 1}\n" + good, path);
  EXPECT_TRUE(out.end.ok());
  std::istringstream lines(read_example_file(path));
  std::vector<Json> rows;
  for (std::string line; std::getline(lines, line);) rows.push_back(*parse_json(line));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["line"].integer(), 2);
  EXPECT_EQ(rows[0]["cause"].string(), "is not UTF-8 from byte 7 of the row on");
  EXPECT_EQ(rows[1]["row"].string(), "{\"text\": 1}");
  (void)read("none.jsonl", good, path);
  EXPECT_FALSE(Env::real().exists(path)) << "what an earlier run left behind is gone";
}

TEST(Examples, only_the_first_bad_rows_are_shown) {
  std::string content;
  for (int i = 0; i < 100; ++i) content += "{\"text\": \"a\"}\nbad\n";
  const Read out = read("half.jsonl", content);
  EXPECT_TRUE(out.end.ok()) << "half is not more than half: " << out.end.message();
  EXPECT_EQ(out.report.rows, 200u);
  EXPECT_EQ(out.report.bad, 100u);
  EXPECT_EQ(out.report.first_bad.size(), kBadRowsShown);
  EXPECT_EQ(out.report.first_bad.back().line, 40u);
}

TEST(Examples, a_file_that_cannot_be_used_is_an_error_that_says_what_to_do) {
  const Read bad = read("bad.jsonl", "{\"text\": \"a\"}\nbad\n{\"text\": 2}\n");
  EXPECT_EQ(bad.end.code(), Code::invalid_argument);
  EXPECT_NE(bad.end.message().find("2 of 3 rows cannot be used, which is more than half; line 2: "), std::string::npos)
      << bad.end.message();
  EXPECT_NE(read("blank.txt", " \n\n").end.message().find("3 bytes without a row"), std::string::npos);
  EXPECT_FALSE(read("empty.jsonl", "").end.ok());
  EXPECT_EQ(ExampleReader::open(Env::real(), {"model.gguf"}).status().code(), Code::unsupported);
  EXPECT_EQ(ExampleReader::open(Env::real(), {temporary_path("missing.txt")}).status().code(), Code::not_found);
  const std::string path = write_example_file(temporary_path("itself.txt"), "text");
  EXPECT_FALSE(ExampleReader::open(Env::real(), {path}, path).ok());
  EXPECT_EQ(read_example_file(path), "text");
}

TEST(Examples, several_files_are_read_one_after_another) {
  const TemporaryFolder folder;
  const std::string a = write_example_file(folder.path + "/a.jsonl", "{\"text\": \"one\"}\nbad\n");
  const std::string b = write_example_file(folder.path + "/b.txt", "two");
  const std::string c = write_example_file(folder.path + "/c.jsonl", "{\"text\": \"three\"}\n{\"text\": 4}\n");
  const std::string quarantine = folder.path + "/bad.jsonl";
  Result<ExampleReader> reader = ExampleReader::open(Env::real(), {a, b, c}, quarantine);
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  std::vector<std::string> seen;
  Example example;
  while (*reader->next(example))
    seen.push_back(std::to_string(example.file) + ":" + std::to_string(example.line) + " " + example.text);
  EXPECT_EQ(seen, (std::vector<std::string>{"0:1 one", "1:1 two", "2:1 three"}));
  EXPECT_EQ(reader->bytes_read(), reader->bytes());
  EXPECT_EQ(reader->report().shape, RowShape::text);
  ASSERT_EQ(reader->report().first_bad.size(), 2u);
  EXPECT_EQ(reader->report().first_bad[1].file, 2u);
  EXPECT_EQ(reader->report().first_bad[1].line, 2u);
  EXPECT_NE(read_example_file(quarantine).find("c.jsonl\",\"line\":2"), std::string::npos)
      << read_example_file(quarantine);

  EXPECT_FALSE(ExampleReader::open(Env::real(), {a, folder.path + "/none.txt"}).ok()) << "before anything is read";
}

TEST(Examples, files_of_rows_are_judged_each_and_texts_together) {
  const TemporaryFolder folder;
  const auto text = [&](const std::string& name, const std::string& content) {
    return write_example_file(folder.path + "/" + name, content);
  };
  const std::vector<std::string> texts = {text("a.txt", "one"), text("b.txt", " "), text("c.txt", "\xFF"),
                                          text("d.txt", "four")};
  const auto end_of = [&](const std::vector<std::string>& files, ReadReport* report = nullptr) {
    Result<ExampleReader> reader = ExampleReader::open(Env::real(), files);
    Example example;
    Result<bool> more = true;
    while (more.ok() && *more) more = reader->next(example);
    if (report) *report = reader->report();
    return more.ok() ? Status() : more.status();
  };
  ReadReport report;
  EXPECT_TRUE(end_of(texts, &report).ok()) << "half is not more than half";
  EXPECT_EQ(report.rows, 4u);
  EXPECT_EQ(report.bad, 2u);
  EXPECT_EQ(report.first_bad[0].cause, "the file holds no text");
  const Status bad = end_of({texts[0], texts[1], texts[2]});
  EXPECT_NE(bad.message().find("in 3 files 2 of 3 rows cannot be used"), std::string::npos) << bad.message();
  EXPECT_NE(bad.message().find("c.txt, line 1: is not UTF-8"), std::string::npos) << bad.message();
  const std::string rows = text("e.jsonl", "{\"text\": 1}\n");
  EXPECT_NE(end_of({texts[0], rows, texts[3]}).message().find("e.jsonl': 1 of 1 rows"), std::string::npos);
  EXPECT_NE(end_of({texts[0], text("f.jsonl", "")}).message().find("f.jsonl' holds nothing"), std::string::npos);
}

TEST(Examples, a_folder_stands_for_the_files_in_it) {
  const TemporaryFolder folder;
  ASSERT_TRUE(Env::real().make_directories(folder.path + "/ward/2026").ok());
  ASSERT_TRUE(Env::real().make_directories(folder.path + "/ward/trained/checkpoints").ok());
  for (const std::string name : {"ward/b.md", "ward/2026/C.TXT", "ward/2026/model.gguf", "ward/.hidden.txt", "a.jsonl",
                                 "ward/data.refused.jsonl", "ward/trained/metrics.jsonl"})
    write_example_file(folder.path + "/" + name, "x");
  const auto files = example_files(Env::real(), {folder.path + "/a.jsonl", folder.path + "/ward"});
  ASSERT_TRUE(files.ok()) << files.status().message();
  EXPECT_EQ(*files, (std::vector<std::string>{folder.path + "/a.jsonl", folder.path + "/ward/2026/C.TXT",
                                              folder.path + "/ward/b.md"}));
  ASSERT_TRUE(Env::real().remove(folder.path + "/ward/2026/C.TXT").ok());
  const Status none = example_files(Env::real(), {folder.path + "/ward/2026"}).status();
  EXPECT_NE(none.message().find("has no file that training reads"), std::string::npos) << none.message();
  std::filesystem::create_directory_symlink("..", folder.path + "/ward/2026/up");
  EXPECT_NE(example_files(Env::real(), {folder.path}).status().message().find("folders deep"), std::string::npos);
}

TEST(Examples, a_row_that_was_read_can_be_rejected_later) {
  const std::string path = write_example_file(temporary_path("late.jsonl"), "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  Result<ExampleReader> reader = ExampleReader::open(Env::real(), {path});
  ASSERT_TRUE(reader.ok());
  Example example;
  ASSERT_TRUE(*reader->next(example));
  ASSERT_TRUE(*reader->next(example));
  ASSERT_TRUE(reader->reject("too long").ok());
  EXPECT_FALSE(*reader->next(example));
  EXPECT_EQ(reader->report().bad, 1u);
  EXPECT_EQ(reader->report().first_bad[0].line, 2u);
  EXPECT_EQ(reader->report().first_bad[0].cause, "too long");
}

}  // namespace
}  // namespace landfall
