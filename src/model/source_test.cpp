// Model files as people have them: GGUF in both layouts of latent attention, permuted rows, split files, sharded
// safetensors; and what is said about files that are incomplete, damaged or of another kind. The GGUF files hold the
// golden models' numbers, so their logits must be the golden ones.
#include "model/source.h"

#include <gtest/gtest.h>

#include "base/testing.h"
#include "model/testing.h"
#include "model/testing_gguf.h"

namespace landfall {
namespace {

std::vector<float> all_logits(const Model& model, const std::vector<int32_t>& tokens) {
  return all_logits(model, tokens, available_kernel_sets().back());
}

std::string temporary(const std::string& name, const std::string& bytes) {
  const std::string path = temporary_path(name);
  EXPECT_TRUE(write_file(Env::real(), path, bytes).ok());
  return path;
}

Status open_status(const std::string& path) {
  auto source = ModelSource::open(Env::real(), path);
  if (!source.ok()) return source.status();
  return describe_model(*source).status();
}

TEST(Gguf, BothLayoutsOfLatentAttentionGiveTheGoldenLogits) {
  const Golden golden = read_golden("deepseek_v3");
  for (const auto& [name, layout, multi] : {std::tuple{"fused", KeyValue::fused, true},
                                            {"split", KeyValue::split, true},
                                            {"both", KeyValue::both, false}}) {
    const LoadedModel loaded =
        load_for_test(temporary(std::string(name) + ".gguf", deepseek_v3_gguf(golden, layout, multi)));
    EXPECT_EQ(loaded.model.config().layers, golden.config["num_hidden_layers"].integer());
    EXPECT_EQ(loaded.model.find(0, "key_absorb") != nullptr, layout == KeyValue::split);
    EXPECT_LE(largest_difference(all_logits(loaded.model, golden.tokens), golden.logits, golden.vocab),
              golden.tolerance)
        << name;
    EXPECT_EQ(loaded.model.notes().size(), multi ? 1u : 0u) << "the multi-token layer is mentioned";
    if (!multi) continue;
    const auto guesses = multi_token_logits(loaded, golden.tokens, available_kernel_sets().back());
    EXPECT_LE(largest_difference(guesses, golden.multi_token, golden.vocab), golden.tolerance) << name;
  }
}

TEST(Gguf, PermutedRowsAndFrequencyDivisorsGiveTheGoldenLogits) {
  const Golden golden = read_golden("llama_llama3");
  const int layers = static_cast<int>(golden.config["num_hidden_layers"].integer());
  const LoadedModel loaded = load_for_test(temporary("llama.gguf", llama_gguf(golden, 0, layers, true).bytes()));
  EXPECT_LE(largest_difference(all_logits(loaded.model, golden.tokens), golden.logits, golden.vocab), golden.tolerance);
}

TEST(Gguf, SplitFilesLoadByNamingAnyPartAndAMissingPartIsNamed) {
  const Golden golden = read_golden("llama_llama3");
  const int layers = static_cast<int>(golden.config["num_hidden_layers"].integer());
  const std::string first = temporary("part-00001-of-00002.gguf", llama_gguf(golden, 0, 1, true).bytes());
  const std::string second = temporary("part-00002-of-00002.gguf", llama_gguf(golden, 1, layers, false).bytes());
  for (const std::string& name : {first, second}) {
    const LoadedModel loaded = load_for_test(name);
    EXPECT_EQ(loaded.source.files.size(), 2u);
    EXPECT_LE(largest_difference(all_logits(loaded.model, golden.tokens), golden.logits, golden.vocab),
              golden.tolerance);
  }
  ASSERT_TRUE(Env::real().remove(second).ok());
  const Status missing = open_status(first);
  EXPECT_EQ(missing.code(), Code::not_found);
  EXPECT_NE(missing.message().find("part 2 of 2"), std::string::npos) << missing.message();
  EXPECT_NE(missing.message().find(second), std::string::npos) << missing.message();
}

TEST(Gguf, TheFolderOfASplitFileLoadsAndWhicheverPartIsMissingIsNamed) {
  const Golden golden = read_golden("llama_llama3");
  Env& env = Env::real();
  const std::string folder = temporary("folder", "") + ".parts";
  ASSERT_TRUE(env.make_directories(folder).ok());
  const std::string content[] = {llama_gguf(golden, 0, 1, true).bytes(), llama_gguf(golden, 1, 2, false).bytes(),
                                 llama_gguf(golden, 2, 3, false).bytes()};
  auto part = [&](int i) { return folder + "/m-0000" + std::to_string(i) + "-of-00003.gguf"; };
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(write_file(env, part(i), content[i - 1]).ok());
  EXPECT_EQ(load_for_test(folder).source.files.size(), 3u);
  for (int gone = 1; gone <= 3; ++gone) {
    ASSERT_TRUE(env.remove(part(gone)).ok());
    for (const std::string& named : {folder, part(gone % 3 + 1)}) {
      const Status missing = open_status(named);
      EXPECT_EQ(missing.code(), Code::not_found);
      EXPECT_NE(missing.message().find("part " + std::to_string(gone) + " of 3 is missing: '" + part(gone)),
                std::string::npos)
          << missing.message();
    }
    ASSERT_TRUE(write_file(env, part(gone), content[gone - 1]).ok());
  }
}

TEST(Gguf, ATruncatedFileIsAnErrorAtEveryLength) {
  const Golden golden = read_golden("llama_llama3");
  const std::string whole = llama_gguf(golden, 0, 3, true).bytes();
  for (size_t length = 0; length < whole.size(); length += length < 6000 ? 97 : 40009) {
    const Status status = open_status(temporary("cut.gguf", whole.substr(0, length)));
    EXPECT_FALSE(status.ok()) << length;
    EXPECT_FALSE(status.message().empty());
  }
}

TEST(Gguf, WhatIsWrongIsNamed) {
  const Golden golden = read_golden("llama_llama3");
  auto said = [&](const std::string& bytes, const std::string& what, Code code) {
    const Status status = open_status(temporary("wrong.gguf", bytes));
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_NE(status.message().find(what), std::string::npos) << status.message();
  };
  said("this is a text file, not a model, and it goes on for a while", "not a GGUF file", Code::invalid_argument);
  said(llama_gguf(golden, 0, 2, true).bytes(), "blk.2.", Code::data_loss);  // a layer is missing
  GgufWriter unknown;
  unknown.text("general.architecture", "gpt5");
  said(unknown.bytes(), "llama", Code::unsupported);  // the known ones are listed
  GgufWriter shape = llama_gguf(golden, 0, 3, true);
  shape.tensor("blk.0.attn_q.weight", {4, 4}, std::string(64, '\0'));
  said(shape.bytes(), "stands twice", Code::data_loss);
  GgufWriter type;
  type.text("general.architecture", "llama");
  for (const char* key : {"block_count", "attention.head_count"}) type.number(std::string("llama.") + key, 1u);
  for (const char* key : {"embedding_length", "feed_forward_length", "context_length"})
    type.number(std::string("llama.") + key, 32u);
  type.tensor("token_embd.weight", {32, 32}, std::string(5000, '\0'), 29);  // IQ1_M
  said(type.bytes(), "GGUF type 29", Code::unsupported);
}

TEST(HuggingFace, ShardsLoadAndAMissingOneIsNamed) {
  const Golden golden = read_golden("qwen2");
  const std::string folder = write_golden_model(golden, Json());
  Env& env = Env::real();
  // Cut the one file into two and write the index.
  const std::string whole = env.read(folder + "/model.safetensors").value();
  uint64_t length = 0;
  std::memcpy(&length, whole.data(), 8);
  const Json header = parse_json(std::string_view(whole).substr(8, length)).value();
  Json parts[2], map;
  std::string data[2];
  int i = 0;
  for (const auto& [name, row] : header.object()) {
    const int part = i++ % 2;
    const auto begin = static_cast<size_t>(row["data_offsets"].array()[0].integer()),
               end = static_cast<size_t>(row["data_offsets"].array()[1].integer());
    Json moved = row;
    moved.set("data_offsets", Json(Json::Array{Json(data[part].size()), Json(data[part].size() + end - begin)}));
    parts[part].set(name, std::move(moved));
    data[part] += whole.substr(8 + length + begin, end - begin);
    map.set(name, part == 0 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors");
  }
  for (int part = 0; part < 2; ++part) {
    const std::string text = parts[part].dump();
    ASSERT_TRUE(write_file(env, folder + "/model-0000" + std::to_string(part + 1) + "-of-00002.safetensors",
                           GgufWriter::raw(static_cast<uint64_t>(text.size())) + text + data[part])
                    .ok());
  }
  Json index;
  index.set("weight_map", std::move(map));
  ASSERT_TRUE(write_file(env, folder + "/model.safetensors.index.json", index.dump()).ok());
  ASSERT_TRUE(env.remove(folder + "/model.safetensors").ok());
  for (const std::string& path :
       {folder, folder + "/model-00002-of-00002.safetensors", folder + "/model.safetensors.index.json"}) {
    const LoadedModel loaded = load_for_test(path);
    EXPECT_LE(largest_difference(all_logits(loaded.model, golden.tokens), golden.logits, golden.vocab),
              golden.tolerance);
  }
  ASSERT_TRUE(env.remove(folder + "/model-00002-of-00002.safetensors").ok());
  for (const bool has_index : {true, false}) {
    ASSERT_TRUE(has_index || env.remove(folder + "/model.safetensors.index.json").ok());
    const Status missing = open_status(folder);
    EXPECT_EQ(missing.code(), Code::not_found);
    EXPECT_NE(missing.message().find("model-00002-of-00002.safetensors"), std::string::npos) << missing.message();
  }
}

// The same powers of two as the golden's own floats, each as the byte of its exponent.
TEST(HuggingFace, ScalesAsExponentsGiveTheGoldenLogits) {
  const Golden golden = read_golden("deepseek_v3_fp8_ue8m0");
  const std::string file = write_golden_model(golden, Json()) + "/model.safetensors";
  Env& env = Env::real();
  const std::string whole = env.read(file).value();
  uint64_t length = 0;
  std::memcpy(&length, whole.data(), 8);
  const Json header = parse_json(std::string_view(whole).substr(8, length)).value();
  auto rewrite = [&](char spoil) {
    Json rows;
    std::string data;
    int scales = 0;
    for (const auto& [name, row] : header.object()) {
      const auto begin = static_cast<size_t>(row["data_offsets"].array()[0].integer()),
                 end = static_cast<size_t>(row["data_offsets"].array()[1].integer());
      std::string bytes = whole.substr(8 + length + begin, end - begin);
      Json moved = row;
      if (name.ends_with("weight_scale_inv")) {
        ++scales;
        std::string exponents;
        for (size_t at = 0; at < bytes.size(); at += 4) {
          uint32_t bits = 0;
          std::memcpy(&bits, &bytes[at], 4);
          exponents += static_cast<char>(spoil ? spoil : static_cast<char>(bits >> 23));
        }
        bytes = exponents;
        moved.set("dtype", "F8_E8M0");
      }
      moved.set("data_offsets", Json(Json::Array{Json(data.size()), Json(data.size() + bytes.size())}));
      rows.set(name, std::move(moved));
      data += bytes;
    }
    EXPECT_GT(scales, 10);
    const std::string text = rows.dump();
    EXPECT_TRUE(write_file(env, file, GgufWriter::raw(static_cast<uint64_t>(text.size())) + text + data).ok());
  };
  rewrite(0);
  EXPECT_LE(largest_difference(all_logits(load_for_test(file).model, golden.tokens), golden.logits, golden.vocab),
            golden.tolerance);
  rewrite('\xff');
  auto source = ModelSource::open(env, file);
  ASSERT_TRUE(source.ok());
  auto model = describe_model(*source);
  ASSERT_TRUE(model.ok());
  ThreadPool pool(1);
  const Status refused = load_weights(*source, pool, nullptr, *model);
  EXPECT_EQ(refused.code(), Code::data_loss);
  EXPECT_NE(refused.message().find("a scale that is not a number"), std::string::npos) << refused.message();
}

TEST(HuggingFace, AConfigurationThatContradictsTheTensorsNamesTheTensor) {
  const Golden golden = read_golden("qwen2");
  for (const auto& [key, value, what] : {std::tuple{"intermediate_size", 96, "gate_proj"},
                                         {"num_hidden_layers", 9, "model.layers.3"},
                                         {"num_attention_heads", 5, "heads"},
                                         {"hidden_size", 0, "hidden_size"}}) {
    Json how, config;
    how.set("config", config.set(key, value));
    const Status status = open_status(write_golden_model(golden, how));
    EXPECT_FALSE(status.ok()) << key;
    EXPECT_NE(status.message().find(what), std::string::npos) << status.message();
  }
}

}  // namespace
}  // namespace landfall
