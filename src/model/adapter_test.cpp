// Adapters written and read again, over bases from both kinds of file, and what is said about those that do not fit.
#include "model/adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>

#include "base/testing.h"
#include "model/safetensors_writer.h"
#include "model/testing.h"
#include "model/testing_gguf.h"
#include "tensor/weight.h"

namespace landfall {
namespace {

std::string new_path(const std::string& end) {
  static int count = 0;
  return temporary_path("adapter_" + std::to_string(count++) + end);
}

LoadedModel golden_model(const std::string& variant) {
  return load_for_test(write_golden_model(read_golden(variant), Json()));
}

std::vector<float> logits_with(const LoadedModel& base, const Adapter& adapter, const Golden& golden) {
  std::vector<OwnedWeight> weights;
  weights.reserve(2 * adapter.parts.size());
  auto id = static_cast<uint32_t>(base.model.weights().size());
  const Format& f32 = *format_by_name("F32");
  Overlay overlay;
  for (const AdapterPart& part : adapter.parts) {
    const Weight& w = base.model.weights()[part.weight];
    std::vector<float> b = part.b;
    for (float& v : b) v *= static_cast<float>(adapter.scale());
    weights.push_back(make_weight(id++, "a", f32, 1, adapter.rank, w.in, part.a));
    weights.push_back(make_weight(id++, "b", f32, 1, w.out, adapter.rank, b));
    overlay.add(w.id, {&weights[weights.size() - 2].weight, &weights.back().weight});
  }
  return all_logits(base.model, golden.tokens, available_kernel_sets().back(), {}, nullptr, &overlay);
}

// The folder's tensors by name, as floats.
std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>> tensors_in(const std::string& folder) {
  std::map<std::string, std::pair<std::vector<int64_t>, std::vector<float>>> out;
  auto file = Env::real().map(folder + "/adapter_model.safetensors");
  EXPECT_TRUE(file.ok());
  std::vector<FileTensor> tensors;
  EXPECT_TRUE(read_safetensors(folder, (*file)->bytes(), tensors).ok());
  for (const FileTensor& t : tensors) {
    auto& [shape, values] = out[t.name];
    shape = t.shape;
    values.resize(t.data.size() / 4);
    std::memcpy(values.data(), t.data.data(), t.data.size());
  }
  return out;
}

class AdapterTest : public testing::TestWithParam<std::string> {};

TEST_P(AdapterTest, ComesBackAsItWas) {
  const LoadedModel base = golden_model(GetParam());
  const Adapter adapter = adapter_of(base.model, 3);
  ASSERT_GT(adapter.parts.size(), 5u);
  const std::string folder = new_path("");
  const Status written = write_adapter(Env::real(), folder, base.model, adapter);
  ASSERT_TRUE(written.ok()) << written.message();
  auto read = read_adapter(Env::real(), folder, base.model);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->rank, 3);
  EXPECT_EQ(read->scale(), 2);
  EXPECT_EQ(read->base, "made/by hand");
  ASSERT_EQ(read->parts.size(), adapter.parts.size());
  for (size_t i = 0; i < adapter.parts.size(); ++i) {
    EXPECT_EQ(read->parts[i].weight, adapter.parts[i].weight);
    EXPECT_EQ(read->parts[i].a, adapter.parts[i].a);
    EXPECT_EQ(read->parts[i].b, adapter.parts[i].b);
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, AdapterTest, testing::ValuesIn(golden_variants()), variant_name);

TEST(Adapter, IsLaidOutAsPeftLaysItOut) {
  const LoadedModel base = golden_model("qwen2");
  const std::string folder = new_path("");
  ASSERT_TRUE(write_adapter(Env::real(), folder, base.model, adapter_of(base.model, 4)).ok());
  const auto tensors = tensors_in(folder);
  const Config& c = base.model.config();
  const std::string module = "base_model.model.model.layers.1.mlp.down_proj.";
  EXPECT_EQ(tensors.at(module + "lora_A.weight").first, (std::vector<int64_t>{4, c.ffn}));
  EXPECT_EQ(tensors.at(module + "lora_B.weight").first, (std::vector<int64_t>{c.width, 4}));
  const Json config = read_json_file(folder + "/adapter_config.json");
  EXPECT_EQ(config["peft_type"].string(), "LORA");
  EXPECT_EQ(config["task_type"].string(), "CAUSAL_LM");
  EXPECT_EQ(config["r"].integer(), 4);
  EXPECT_EQ(config["lora_alpha"].number(), 6);
  EXPECT_EQ(config["bias"].string(), "none");
  EXPECT_EQ(config["target_modules"].array().size(), 7u);
}

// PEFT takes every module whose name ends in a target, so none may be one of the experts'.
TEST(Adapter, NamesNoModuleOfTheRoutedExperts) {
  for (const char* variant : {"deepseek", "deepseek_v3"}) {
    const LoadedModel base = golden_model(variant);
    const std::string folder = new_path("");
    ASSERT_TRUE(write_adapter(Env::real(), folder, base.model, adapter_of(base.model, 2)).ok());
    std::set<std::string> taken, written;
    const Json config = read_json_file(folder + "/adapter_config.json");
    const Golden golden = read_golden(variant);
    for (const Json& tensor : golden.info["tensors"].array()) {
      std::string module = tensor["name"].string();
      if (!module.ends_with(".weight") || module.find(".layers.3.") != module.npos) continue;  // the multi-token layer
      module.resize(module.size() - 7);
      for (const Json& target : config["target_modules"].array()) {
        if (module.ends_with("." + target.string())) taken.insert("base_model.model." + module);
      }
    }
    for (const auto& [name, tensor] : tensors_in(folder)) written.insert(name.substr(0, name.rfind(".lora_")));
    EXPECT_EQ(taken, written) << variant;
  }
}

// The same adapter over the Hugging Face base and over the GGUF file of the same numbers, with its permuted rows.
TEST(Adapter, OfAGgufBaseFitsTheHuggingFaceBaseAndBack) {
  const Golden golden = read_golden("llama_llama3");
  const LoadedModel folder = golden_model("llama_llama3");
  const std::string file = new_path(".gguf");
  ASSERT_TRUE(write_file(Env::real(), file, llama_gguf(golden, 0, 3, true).bytes()).ok());
  const LoadedModel gguf = load_for_test(file);
  for (const auto& [from, to] : {std::pair{&gguf, &folder}, {&folder, &gguf}}) {
    const Adapter adapter = adapter_of(from->model, 4);
    const std::string path = new_path("");
    ASSERT_TRUE(write_adapter(Env::real(), path, from->model, adapter).ok());
    auto read = read_adapter(Env::real(), path, to->model);
    ASSERT_TRUE(read.ok()) << read.status().message();
    const std::vector<float> wanted = logits_with(*from, adapter, golden);
    EXPECT_LE(largest_difference(logits_with(*to, *read, golden), wanted, golden.vocab), 1e-5);
    EXPECT_GT(largest_difference(wanted, golden.logits, golden.vocab), 0.01) << "the adapter shows";
    Adapter straight = *read;  // as if rows were not permuted
    straight.parts = adapter.parts;
    EXPECT_GT(largest_difference(logits_with(*to, straight, golden), wanted, golden.vocab), 1e-3);
  }
}

TEST(Adapter, LatentAttentionKeepsItsRows) {
  const Golden golden = read_golden("deepseek_v3");
  const LoadedModel folder = golden_model("deepseek_v3");
  const std::string file = new_path(".gguf");
  ASSERT_TRUE(write_file(Env::real(), file, deepseek_v3_gguf(golden, KeyValue::split, false)).ok());
  const LoadedModel gguf = load_for_test(file);
  const Adapter adapter = adapter_of(gguf.model, 2);
  const std::string path = new_path("");
  ASSERT_TRUE(write_adapter(Env::real(), path, gguf.model, adapter).ok());
  auto read = read_adapter(Env::real(), path, folder.model);
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_LE(largest_difference(logits_with(folder, *read, golden), logits_with(gguf, adapter, golden), golden.vocab),
            1e-5);
}

TEST(Adapter, WhatDoesNotFitIsNamed) {
  const LoadedModel base = golden_model("qwen2");
  Env& env = Env::real();
  const std::string folder = new_path("");
  ASSERT_TRUE(write_adapter(env, folder, base.model, adapter_of(base.model, 4)).ok());
  const std::string config_path = folder + "/adapter_config.json", tensors_path = folder + "/adapter_model.safetensors";
  const Json config = read_json_file(config_path);
  const std::string tensors = *env.read(tensors_path, 1 << 30);
  auto said = [&](Code code, const std::string& what) {
    const Status status = read_adapter(env, folder, base.model).status();
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_NE(status.message().find(what), std::string::npos) << status.message();
  };
  for (const auto& [key, value, code, what] :
       {std::tuple{"peft_type", Json("IA3"), Code::unsupported, "IA3"},
        {"use_dora", Json(true), Code::unsupported, "use_dora"},
        {"bias", Json("all"), Code::unsupported, "biases"},
        {"rank_pattern", Json().set("q_proj", 2), Code::unsupported, "rank_pattern"},
        {"init_lora_weights", Json("pissa"), Code::unsupported, "pissa"},
        {"r", Json(0), Code::data_loss, "r is 0"},
        {"r", Json(8), Code::invalid_argument, "[8, "},
        {"lora_alpha", Json("two"), Code::data_loss, "lora_alpha"}}) {
    Json changed = config;
    ASSERT_TRUE(write_file(env, config_path, changed.set(key, value).dump()).ok());
    said(code, what);
  }
  Json stabilised = config;
  ASSERT_TRUE(write_file(env, config_path, stabilised.set("use_rslora", true).dump()).ok());
  EXPECT_EQ(read_adapter(env, folder, base.model)->scale(), 3);  // alpha 6 by the root of 4
  ASSERT_TRUE(write_file(env, config_path, config.dump()).ok());

  for (size_t length = 0; length < tensors.size(); length += length < 400 ? 13 : 5003) {
    ASSERT_TRUE(write_file(env, tensors_path, tensors.substr(0, length)).ok());
    EXPECT_EQ(read_adapter(env, folder, base.model).status().code(), Code::data_loss) << length;
  }
  auto replaced = [&](std::string_view from, std::string_view to, Code code, const std::string& what) {
    ASSERT_EQ(from.size(), to.size());
    std::string text = tensors;
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos);
    ASSERT_TRUE(write_file(env, tensors_path, text.replace(at, from.size(), to)).ok());
    said(code, what);
  };
  replaced("layers.0.self_attn.q_proj", "layers.9.self_attn.q_proj", Code::invalid_argument, "model.layers.9.");
  replaced("layers.0.self_attn.q_proj", "layers.0.self_attn.w_proj", Code::invalid_argument, "down_proj");
  replaced("lora_A", "lora_E", Code::unsupported, "lora_E");
  replaced("lora_A", "lora_B", Code::data_loss, "");
  replaced("\"F32\"", "\"I32\"", Code::unsupported, "I32");
  ASSERT_TRUE(write_file(env, tensors_path, tensors).ok());
  EXPECT_TRUE(read_adapter(env, folder, base.model).ok());

  const LoadedModel other = golden_model("llama_tied");
  EXPECT_FALSE(read_adapter(env, folder, other.model).ok());
  EXPECT_EQ(read_adapter(env, folder + "/none", base.model).status().code(), Code::not_found);
}

TEST(Adapter, NumbersThatAreNotFiniteAreNeitherWrittenNorRead) {
  const LoadedModel base = golden_model("qwen2");
  Adapter adapter = adapter_of(base.model, 4);
  const std::string good = new_path(""), bad = new_path("");
  ASSERT_TRUE(write_adapter(Env::real(), good, base.model, adapter).ok());
  std::string tensors = *Env::real().read(good + "/adapter_model.safetensors", 1 << 30);
  const float inf = std::numeric_limits<float>::infinity();
  std::memcpy(&tensors[tensors.size() - 4], &inf, 4);
  ASSERT_TRUE(write_file(Env::real(), good + "/adapter_model.safetensors", tensors).ok());
  EXPECT_EQ(read_adapter(Env::real(), good, base.model).status().code(), Code::data_loss);
  adapter.parts[1].b[0] = NAN;
  EXPECT_EQ(write_adapter(Env::real(), bad, base.model, adapter).code(), Code::invalid_argument);
  EXPECT_FALSE(Env::real().exists(bad));
}

}  // namespace
}  // namespace landfall
