#include "model/testing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/env.h"
#include "model/random_model.h"
#include "model/tokenizer/byte_level.h"
#include "tensor/access.h"

namespace landfall {
namespace {

std::string utf8(char32_t c) {
  if (c < 0x80) return std::string(1, static_cast<char>(c));
  return {static_cast<char>(0xc0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};
}

}  // namespace
std::string golden_tensor_bytes(const Json& tensor, uint64_t seed) {
  constexpr uint64_t kStep = 0x9E3779B97F4A7C15ull;
  uint64_t s = 0xCBF29CE484222325ull;
  for (unsigned char ch : tensor["name"].string()) s = (s ^ ch) * 0x100000001B3ull;
  s ^= seed * kStep;
  int64_t n = 1;
  for (const Json& d : tensor["shape"].array()) n *= d.integer();
  const std::string& rule = tensor["rule"].string();
  const auto a = static_cast<float>(tensor["a"].number()), b = static_cast<float>(tensor["b"].number());
  std::string out;
  for (int64_t i = 0; i < n; ++i) {
    uint64_t z = s + static_cast<uint64_t>(i + 1) * kStep;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    if (rule == "identity") {  // not in the files; for tests that change a golden
      const int64_t columns = tensor["shape"].array()[1].integer();
      const float value = i / columns == i % columns ? 1.0f : 0.0f;
      out.append(reinterpret_cast<const char*>(&value), 4);
      continue;
    }
    if (rule == "e4m3") {
      out.push_back(static_cast<char>((z >> 40) & 0xBF));
      continue;
    }
    float value;
    if (rule == "pow2") {
      value = std::ldexp(1.0f, static_cast<int>(b) + static_cast<int>((z >> 40) & 3));
    } else {
      const float u = static_cast<float>(z >> 40) * 0x1p-24f;
      const float product = (2 * u - 1) * a;
      value = product + b;
    }
    out.append(reinterpret_cast<const char*>(&value), 4);
  }
  return out;
}

std::vector<std::string> golden_variants() {
  std::vector<std::string> out;
  auto entries = Env::real().list(kGoldenModels);
  EXPECT_TRUE(entries.ok()) << entries.status().message();
  for (const DirectoryEntry& e : *entries) {
    if (e.is_directory) out.push_back(e.name);
  }
  return out;
}

Json read_json_file(const std::string& path) {
  auto text = Env::real().read(path);
  EXPECT_TRUE(text.ok()) << text.status().message();
  auto json = parse_json(*text);
  EXPECT_TRUE(json.ok()) << json.status().message();
  return std::move(*json);
}

Golden read_golden(const std::string& variant) {
  Golden g;
  const std::string folder = kGoldenModels + "/" + variant;
  g.variant = variant;
  g.info = read_json_file(folder + "/golden.json");
  g.config = read_json_file(folder + "/config.json");
  for (const Json& id : g.info["prompt"].array()) g.tokens.push_back(static_cast<int32_t>(id.integer()));
  g.prompt = static_cast<int64_t>(g.tokens.size());
  for (const Json& id : g.info["greedy"].array()) g.tokens.push_back(static_cast<int32_t>(id.integer()));
  g.vocab = g.info["vocab"].integer();
  g.tolerance = g.info["tolerance"].number();
  auto floats = [&](const std::string& name) {
    auto bytes = Env::real().read(folder + "/" + name);
    EXPECT_TRUE(bytes.ok()) << bytes.status().message();
    std::vector<float> out(bytes->size() / 4);
    std::memcpy(out.data(), bytes->data(), bytes->size());
    return out;
  };
  g.logits = floats("logits.f32");
  if (g.config["num_nextn_predict_layers"].integer() > 0) g.multi_token = floats("multi_token.f32");
  EXPECT_EQ(static_cast<int64_t>(g.logits.size()), static_cast<int64_t>(g.tokens.size()) * g.vocab);
  return g;
}

Json merge_patch(const Json& target, const Json& patch) {
  if (!patch.is_object()) return patch;
  Json out{Json::Object{}};
  for (const auto& [key, value] : target.object()) {
    const Json* change = patch.find(key);
    if (!change) out.set(key, value);
    if (change && !change->is_null()) out.set(key, merge_patch(value, *change));
  }
  for (const auto& [key, value] : patch.object()) {
    if (!target.find(key) && !value.is_null()) out.set(key, value);
  }
  return out;
}

std::string write_golden_model(const Golden& golden, const Json& how) {
  static int count = 0;
  const std::string folder = temporary_path("golden_" + std::to_string(count++));
  Env& env = Env::real();
  EXPECT_TRUE(env.make_directories(folder).ok());
  const Json config = how["config"].is_null() ? golden.config : merge_patch(golden.config, how["config"]);
  EXPECT_TRUE(write_file(env, folder + "/config.json", config.dump(1)).ok());
  Json header{Json::Object{}};
  std::string data;
  for (const Json& tensor : golden.info["tensors"].array()) {
    std::string bytes = golden_tensor_bytes(tensor, static_cast<uint64_t>(golden.info["seed"].integer()));
    if (how["weights"].is_object() && tensor["name"].string().ends_with(how["weights"]["suffix"].string())) {
      const auto value = static_cast<float>(how["weights"]["value"].number());
      if (tensor["dtype"].string() == "F32") {
        for (size_t i = 0; i < bytes.size(); i += 4) std::memcpy(&bytes[i], &value, 4);
      } else {
        EXPECT_EQ(value, 0.0f);
        std::fill(bytes.begin(), bytes.end(), '\0');
      }
    }
    Json row;
    row.set("dtype", tensor["dtype"]).set("shape", tensor["shape"]);
    row.set("data_offsets", Json(Json::Array{Json(data.size()), Json(data.size() + bytes.size())}));
    header.set(tensor["name"].string(), std::move(row));
    data += bytes;
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  EXPECT_TRUE(write_file(env, folder + "/model.safetensors",
                         std::string(reinterpret_cast<const char*>(&length), 8) + text + data)
                  .ok());
  return folder;
}

std::string write_small_model(std::string_view family, const std::string& type) {
  ModelShape shape = with_layers(*find_model_shape(family), 2);
  shape.width = 256;
  shape.heads = 2;
  shape.kv_heads = shape.kv_heads == 1 ? 1 : 2;
  shape.head_dim = shape.kv_lora > 0 ? 0 : 128;
  shape.ffn = 512;
  shape.vocab = kSmallVocab;
  if (shape.experts > 0) {
    shape.experts = 8;
    shape.expert_ffn = 256;
  }
  std::string path = temporary_path(std::string(family) + "-" + type + ".gguf");
  ThreadPool pool(2);
  EXPECT_TRUE(write_random_model(Env::real(), pool, {shape, type}, path, nullptr).ok());
  return path;
}

LoadedModel load_for_test(const std::string& path) {
  auto source = ModelSource::open(Env::real(), path);
  EXPECT_TRUE(source.ok()) << source.status().message();
  auto model = describe_model(*source);
  EXPECT_TRUE(model.ok()) << model.status().message();
  ThreadPool pool(2);
  const Status loaded = load_weights(*source, pool, nullptr, *model);
  EXPECT_TRUE(loaded.ok()) << loaded.message();
  return {std::move(*source), std::move(*model)};
}

Model load_multi_token_for_test(const ModelSource& source, const Model& model) {
  auto layer = describe_multi_token(source, model);
  EXPECT_TRUE(layer.ok()) << layer.status().message();
  ThreadPool pool(2);
  const Status loaded = load_weights(source, pool, nullptr, *layer);
  EXPECT_TRUE(loaded.ok()) << loaded.message();
  return std::move(*layer);
}

std::vector<float> all_logits(const Model& model, std::span<const int32_t> tokens, KernelSet set,
                              std::span<const float> hidden, std::vector<float>* hidden_out, const Overlay* overlay) {
  RunReader reader;
  ThreadPool pool(2);
  Arena arena;
  std::vector<int32_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), 0);
  const Run run{0, static_cast<int32_t>(tokens.size()), 0, 0, true};
  const Batch batch{tokens, positions, {&run, 1}, positions, hidden};
  Ctx ctx = make_ctx(reader, {set, true}, pool, arena, batch, nullptr);
  ctx.overlay = overlay;
  Tensor normed;
  const std::vector<double> out = load_doubles(forward(ctx, model, &normed));
  if (hidden_out) {
    const std::vector<double> states = load_doubles(normed);
    hidden_out->assign(states.begin(), states.end());
  }
  return {out.begin(), out.end()};
}

std::vector<float> multi_token_logits(const LoadedModel& loaded, const std::vector<int32_t>& tokens, KernelSet set) {
  const Model layer = load_multi_token_for_test(loaded.source, loaded.model);
  std::vector<float> hidden;
  all_logits(loaded.model, std::span(tokens).first(tokens.size() - 1), set, {}, &hidden);
  return all_logits(layer, std::span(tokens).subspan(1), set, hidden);
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b, int64_t vocab) {
  double worst = 0;
  for (size_t row = 0; row < b.size(); row += static_cast<size_t>(vocab)) {
    double difference = 0, most = 0;
    for (size_t i = row; i < row + static_cast<size_t>(vocab); ++i) {
      difference = std::max(difference, std::isfinite(a[i]) ? std::abs(static_cast<double>(a[i]) - b[i]) : 1e30);
      most = std::max(most, std::abs(static_cast<double>(b[i])));
    }
    worst = std::max(worst, difference / most);
  }
  return worst;
}

Adapter adapter_of(const Model& model, int64_t rank, uint64_t seed) {
  Adapter out{.rank = rank, .alpha = 6, .base = "made/by hand"};
  uint64_t state = seed;
  auto fill = [&](std::vector<float>& values, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      values.push_back((static_cast<float>(state >> 40) * 0x1p-24f - 0.5f) * 0.2f);
    }
  };
  for (const Weight& w : model.weights()) {
    if (!takes_adapter(model, w)) continue;
    AdapterPart part{.weight = w.id};
    fill(part.a, rank * w.in);
    fill(part.b, w.out * rank);
    out.parts.push_back(std::move(part));
  }
  return out;
}

std::string write_text_model(const std::string& variant, int64_t more_seed, const char* end) {
  Golden golden = read_golden(variant);
  golden.info.set("seed", golden.info["seed"].integer() + more_seed);
  constexpr int kVocab = 258;
  golden.config.set("vocab_size", kVocab).set("max_position_embeddings", 512);
  Json tensors{Json::Array{}};
  for (Json tensor : golden.info["tensors"].array()) {
    if (tensor["name"].string() == "model.embed_tokens.weight" || tensor["name"].string() == "lm_head.weight") {
      tensor.set("shape", Json(Json::Array{Json(kVocab), tensor["shape"].array()[1]}));
    }
    tensors.push(std::move(tensor));
  }
  golden.info.set("tensors", std::move(tensors));
  const std::string folder = write_golden_model(golden, Json());
  Json vocab{Json::Object{}}, added{Json::Array{}};
  for (int byte = 0; byte < 256; ++byte) vocab.set(utf8(byte_level_character(static_cast<unsigned char>(byte))), byte);
  int id = 256;
  for (const char* special : {"<|start|>", end}) {
    Json token;
    added.push(token.set("id", id++).set("content", special).set("special", true));
  }
  Json model, pre, tokenizer, config;
  model.set("type", "BPE").set("vocab", std::move(vocab)).set("merges", Json(Json::Array{}));
  pre.set("type", "ByteLevel").set("add_prefix_space", false).set("use_regex", true);
  tokenizer.set("added_tokens", std::move(added)).set("pre_tokenizer", std::move(pre)).set("model", std::move(model));
  config.set("eos_token", end);
  config.set("chat_template",
             "{% for m in messages %}<|start|>{{ m.role }}:{{ m.content }}<|end|>{% endfor %}<|start|>assistant:");
  EXPECT_TRUE(write_file(Env::real(), folder + "/tokenizer.json", tokenizer.dump()).ok());
  EXPECT_TRUE(write_file(Env::real(), folder + "/tokenizer_config.json", config.dump()).ok());
  return folder;
}

}  // namespace landfall
