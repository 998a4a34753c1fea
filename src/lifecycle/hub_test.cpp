#include "lifecycle/hub.h"

#include <gtest/gtest.h>

#include "lifecycle/testing.h"

namespace landfall {
namespace {

const std::string kHash(64, 'a');

HubFile file(const std::string& path, uint64_t size = 10) { return {path, size, kHash, ""}; }

std::vector<std::string> paths(const HubChoice& choice) {
  std::vector<std::string> out;
  for (const HubFile& f : choice.files) out.push_back(f.path);
  std::sort(out.begin(), out.end());
  return out;
}

TEST(Quantization, StandsInFileNames) {
  const std::pair<const char*, const char*> cases[] = {
      {"DeepSeek-R1-Distill-Qwen-1.5B-Q4_K_M.gguf", "Q4_K_M"},
      {"DeepSeek-R1-Q4_K_M-00001-of-00009.gguf", "Q4_K_M"},
      {"Q8_0/DeepSeek-V3-Q8_0-00003-of-00015.gguf", "Q8_0"},
      {"SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"},
      {"model-IQ4_XS.gguf", "IQ4_XS"},
      {"DeepSeek-R1-UD-IQ1_S.gguf", "UD-IQ1_S"},
      {"qwen2.5-0.5b-q5_k_m.gguf", "Q5_K_M"},
      {"deepseek-llm-7b-chat.f16.gguf", "F16"},
      {"gpt-oss-20b-mxfp4.gguf", "MXFP4"},
      {"Qwen-7B.gguf", ""},
      {"Q.gguf", ""},
      {"IQ.gguf", ""},
  };
  for (const auto& [name, label] : cases) EXPECT_EQ(quantization_in_name(name), label) << name;
}

TEST(HubChoice, OfSafetensorsTakesOneCopyOfTheWeightsAndWhatBelongsToThem) {
  const auto choice =
      choose_hub_files("o/m",
                       {file("config.json"), file("tokenizer.json"), file("tokenizer_config.json"),
                        file("generation_config.json"), file("chat_template.jinja"), file("LICENSE"), file("README.md"),
                        file("modeling.py"), file("pytorch_model.bin"), file("model-00001-of-00002.safetensors", 500),
                        file("model-00002-of-00002.safetensors", 400), file("model.safetensors.index.json"),
                        file("consolidated.safetensors"), file("original/model.safetensors"), file(".gitattributes")},
                       "");
  ASSERT_TRUE(choice.ok()) << choice.status().message();
  EXPECT_EQ(paths(*choice), (std::vector<std::string>{
                                "LICENSE", "README.md", "chat_template.jinja", "config.json", "generation_config.json",
                                "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                "model.safetensors.index.json", "tokenizer.json", "tokenizer_config.json"}));
  EXPECT_EQ(choice->files.back().size, 500u) << "small files first";
  EXPECT_EQ(choice->entry, "");
  EXPECT_EQ(choice->variant, "");
  EXPECT_EQ(choice->bytes(), 980u);
}

TEST(HubChoice, OfOneGgufNeedsNoName) {
  const auto choice = choose_hub_files(
      "o/m", {file("m-Q4_0.gguf"), file("mmproj-m-f16.gguf"), file("m-imatrix.gguf"), file("README.md")}, "");
  ASSERT_TRUE(choice.ok()) << choice.status().message();
  EXPECT_EQ(paths(*choice), (std::vector<std::string>{"README.md", "m-Q4_0.gguf"}));
  EXPECT_EQ(choice->entry, "m-Q4_0.gguf");
  EXPECT_EQ(choice->variant, "");
}

TEST(HubChoice, OfSeveralQuantizationsTakesTheNamedOneByLabelFileOrPart) {
  const std::vector<HubFile> files = {file("Q4_K_M/m-Q4_K_M-00002-of-00002.gguf"),
                                      file("Q4_K_M/m-Q4_K_M-00001-of-00002.gguf"), file("m-Q8_0.gguf", 7'000'000'000)};
  for (const std::string wanted :
       {"Q4_K_M", "q4_k_m", "m-Q4_K_M", "m-Q4_K_M-00002-of-00002.gguf", "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf"}) {
    const auto choice = choose_hub_files("o/m", files, wanted);
    ASSERT_TRUE(choice.ok()) << wanted << ": " << choice.status().message();
    EXPECT_EQ(choice->files.size(), 2u) << wanted;
    EXPECT_EQ(choice->entry, "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf");
    EXPECT_EQ(choice->variant, "Q4_K_M");
  }
  const auto none = choose_hub_files("o/m", files, "");
  EXPECT_EQ(none.status().code(), Code::invalid_argument);
  EXPECT_NE(none.status().message().find("Q8_0 (7.0 GB)"), std::string::npos) << none.status().message();
}

TEST(HubChoice, NamesFilesWhoseLabelsAreTheSameByTheirNames) {
  const std::vector<HubFile> files = {file("small-Q4_0.gguf"), file("large-Q4_0.gguf")};
  EXPECT_EQ(choose_hub_files("o/m", files, "Q4_0").status().code(), Code::invalid_argument);
  const auto choice = choose_hub_files("o/m", files, "large-Q4_0");
  ASSERT_TRUE(choice.ok()) << choice.status().message();
  EXPECT_EQ(choice->variant, "large-Q4_0");
}

TEST(HubChoice, RefusesNamesThatLeadOutOfTheFolderOrOverOurOwnFiles) {
  for (const std::string bad :
       {"../m-Q4_0.gguf", "/m-Q4_0.gguf", "a/../../m.gguf", "a//m.gguf", ".hidden/m.gguf", "a\\m.gguf", "a\nm.gguf"}) {
    const auto choice = choose_hub_files("o/m", {file(bad)}, "");
    ASSERT_FALSE(choice.ok()) << bad;
    EXPECT_EQ(choice.status().code(), Code::data_loss) << choice.status().message();
    EXPECT_EQ(choice.status().message().find('\n'), std::string::npos);
  }
  EXPECT_FALSE(choose_hub_files("o/m", {file("config.json"), file("config.json"), file("model.safetensors")}, "").ok());
}

TEST(SafePaths, StayBelowTheirFolder) {
  for (const char* good : {"a", "a.gguf", "a/b/c.json", "a..b"}) EXPECT_TRUE(is_safe_relative_path(good)) << good;
  for (const char* bad : {"", ".", "..", "/a", "a/", "a/..", "../a", "a/./b", ".a", "a//b", "a\\b", "a\x7f"})
    EXPECT_FALSE(is_safe_relative_path(bad)) << bad;
  EXPECT_FALSE(is_safe_relative_path(std::string(241, 'a')));
}

class HubList : public ::testing::Test {
 protected:
  FakeHttp http;
  HubRepository repository{"https://hub.example", "secret", "org/model", "a/b c"};
};

TEST_F(HubList, ReadsEveryPageOfTheSameHub) {
  http.answer = [&](const HttpGet& request) {
    if (request.url.find("cursor") == std::string::npos) {
      auto answer = FakeHttp::whole(
          R"([{"type": "directory", "path": "d"}, {"type": "file", "path": "a.json", "size": 3, "oid": ")" +
          std::string(40, 'b') + R"("}])");
      answer.response.headers["link"] = "<https://hub.example/api/next?cursor=1>; rel=\"next\"";
      return answer;
    }
    return FakeHttp::whole(R"([{"type": "file", "path": "m.gguf", "size": 130, "lfs": {"oid": ")" + kHash +
                           R"(", "size": 5000}}])");
  };
  const auto files = list_hub_files(http, repository, {});
  ASSERT_TRUE(files.ok()) << files.status().message();
  EXPECT_EQ(http.requests[0].url, "https://hub.example/api/models/org/model/tree/a%2Fb%20c?recursive=true");
  ASSERT_EQ(files->size(), 2u);
  EXPECT_EQ((*files)[0].git_oid, std::string(40, 'b'));
  EXPECT_EQ((*files)[1].size, 5000u);
  EXPECT_EQ((*files)[1].sha256, kHash);
}

TEST_F(HubList, FollowsNoListToAnotherHostAndNoneForEver) {
  std::string next = "https://evil.example/next";
  http.answer = [&](const HttpGet&) {
    auto answer = FakeHttp::whole("[]");
    answer.response.headers["link"] = "<" + next + ">; rel=\"next\"";
    return answer;
  };
  EXPECT_EQ(list_hub_files(http, repository, {}).status().code(), Code::data_loss);
  EXPECT_EQ(http.requests.size(), 1u);
  next = "https://hub.example/again";
  EXPECT_EQ(list_hub_files(http, repository, {}).status().code(), Code::unsupported);
  EXPECT_LE(http.requests.size(), 102u);
}

TEST_F(HubList, SaysWhatAStatusMeans) {
  struct Case {
    int status;
    const char* code;
    Code expected;
    const char* says;
  };
  for (const Case& c : {Case{404, "", Code::not_found, "check the spelling"},
                        Case{404, "RevisionNotFound", Code::not_found, "no revision 'a/b c'"},
                        Case{401, "", Code::permission_denied, "access token in HF_TOKEN"},
                        Case{403, "GatedRepo", Code::permission_denied, "accept them on its page"},
                        Case{429, "", Code::unavailable, "too many requests"}, Case{502, "", Code::unavailable, "502"},
                        Case{418, "", Code::unsupported, "418"}}) {
    http.answer = [&](const HttpGet&) { return FakeHttp::Answer{{c.status, {{"x-error-code", c.code}}}, "", {}}; };
    const auto files = list_hub_files(http, repository, {});
    EXPECT_EQ(files.status().code(), c.expected) << c.status;
    EXPECT_NE(files.status().message().find(c.says), std::string::npos) << files.status().message();
  }
}

TEST(Url, OriginTellsHostsApart) {
  EXPECT_EQ(url_origin("HTTPS://Hub.Example/a?b"), "https://hub.example:443");
  EXPECT_EQ(url_origin("http://[::1]:80/x"), "http://[::1]:80");
  EXPECT_EQ(url_origin("http://[::1]/x"), "http://[::1]:80");
  EXPECT_NE(url_origin("https://a.example"), url_origin("http://a.example"));
  EXPECT_NE(url_origin("https://a.example"), url_origin("https://a.example:8443"));
  for (const char* bad :
       {"", "ftp://a", "file:///etc/passwd", "https://", "https://hub.example@evil.example/", "hub.example"})
    EXPECT_EQ(url_origin(bad), "") << bad;
}

}  // namespace
}  // namespace landfall
