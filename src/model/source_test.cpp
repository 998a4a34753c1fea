// Model files as people have them: GGUF in both layouts of latent attention, permuted rows, split files, sharded
// safetensors; and what is said about files that are incomplete, damaged or of another kind. The GGUF files are written
// here from the golden models' seeds, so their logits must be the golden ones.
#include "model/source.h"

#include <gtest/gtest.h>

#include <cmath>

#include <map>

#include "base/testing.h"
#include "model/testing.h"

namespace landfall {
namespace {

std::vector<float> all_logits(const Model& model, const std::vector<int32_t>& tokens) {
  return all_logits(model, tokens, available_kernel_sets().back());
}

// ---- a small GGUF writer

class GgufWriter {
 public:
  void number(const std::string& key, uint32_t v) { value(key, 4, raw(v)); }
  void number(const std::string& key, double v) { value(key, 6, raw(static_cast<float>(v))); }
  void flag(const std::string& key, bool v) { value(key, 7, std::string(1, v ? '\1' : '\0')); }
  void text(const std::string& key, const std::string& v) { value(key, 8, string(v)); }
  // shape: slowest first
  void tensor(const std::string& name, std::vector<uint64_t> shape, const std::string& data, uint32_t type = 0) {
    std::string row = string(name) + raw(static_cast<uint32_t>(shape.size()));
    for (auto it = shape.rbegin(); it != shape.rend(); ++it) row += raw(*it);
    tensors_ += row + raw(type) + raw(static_cast<uint64_t>(data_.size()));
    data_ += data;
    data_.resize((data_.size() + 31) / 32 * 32);
    ++tensor_count_;
  }
  std::string bytes() const {
    std::string out = "GGUF" + raw(uint32_t{3}) + raw(tensor_count_) + raw(value_count_) + values_ + tensors_;
    out.resize((out.size() + 31) / 32 * 32);
    return out + data_;
  }

  template <class T>
  static std::string raw(T v) {
    return std::string(reinterpret_cast<const char*>(&v), sizeof v);
  }
  static std::string string(const std::string& s) { return raw(static_cast<uint64_t>(s.size())) + s; }

 private:
  void value(const std::string& key, uint32_t type, const std::string& bytes) {
    values_ += string(key) + raw(type) + bytes;
    ++value_count_;
  }
  std::string values_, tensors_, data_;
  uint64_t tensor_count_ = 0, value_count_ = 0;
};

// The golden model's tensors by Hugging Face name.
struct Tensors {
  std::map<std::string, std::string> bytes;
  std::map<std::string, std::vector<uint64_t>> shape;
};

Tensors tensors_of(const Golden& golden) {
  Tensors out;
  for (const Json& t : golden.info["tensors"].array()) {
    const std::string& name = t["name"].string();
    out.bytes[name] = golden_tensor_bytes(t, static_cast<uint64_t>(golden.info["seed"].integer()));
    for (const Json& n : t["shape"].array()) out.shape[name].push_back(static_cast<uint64_t>(n.integer()));
  }
  return out;
}

void copy_tensor(GgufWriter& w, const Tensors& t, const std::string& gguf, const std::string& hf) {
  w.tensor(gguf, t.shape.at(hf), t.bytes.at(hf));
}

uint32_t number(const Golden& g, const char* key) { return static_cast<uint32_t>(g.config[key].integer()); }

void common(GgufWriter& w, const Golden& g, const Tensors& t, const std::string& arch, uint32_t blocks) {
  w.text("general.architecture", arch);
  w.number(arch + ".block_count", blocks);
  w.number(arch + ".embedding_length", number(g, "hidden_size"));
  w.number(arch + ".feed_forward_length", number(g, "intermediate_size"));
  w.number(arch + ".context_length", number(g, "max_position_embeddings"));
  w.number(arch + ".attention.head_count", number(g, "num_attention_heads"));
  w.number(arch + ".attention.layer_norm_rms_epsilon", g.config["rms_norm_eps"].number());
  w.number(arch + ".rope.freq_base", g.config["rope_theta"].number());
  copy_tensor(w, t, "token_embd.weight", "model.embed_tokens.weight");
  copy_tensor(w, t, "output_norm.weight", "model.norm.weight");
  if (t.bytes.contains("lm_head.weight")) copy_tensor(w, t, "output.weight", "lm_head.weight");
}

enum class KeyValue { fused, split, both };

std::string deepseek_v3_gguf(const Golden& g, KeyValue layout, bool multi_token_block) {
  const Tensors t = tensors_of(g);
  GgufWriter w;
  const std::string a = "deepseek2";
  const uint32_t layers = number(g, "num_hidden_layers"), heads = number(g, "num_attention_heads");
  const uint32_t nope = number(g, "qk_nope_head_dim"), rope = number(g, "qk_rope_head_dim"),
                 v = number(g, "v_head_dim"), lora = number(g, "kv_lora_rank");
  common(w, g, t, a, layers + multi_token_block);
  if (multi_token_block) w.number(a + ".nextn_predict_layers", uint32_t{1});
  w.number(a + ".attention.head_count_kv", layout == KeyValue::fused ? heads : 1u);
  w.number(a + ".attention.key_length", layout == KeyValue::fused ? nope + rope : lora + rope);
  w.number(a + ".attention.value_length", layout == KeyValue::fused ? v : lora);
  if (layout != KeyValue::fused) {
    w.number(a + ".attention.key_length_mla", nope + rope);
    w.number(a + ".attention.value_length_mla", v);
  }
  w.number(a + ".attention.q_lora_rank", number(g, "q_lora_rank"));
  w.number(a + ".attention.kv_lora_rank", lora);
  w.number(a + ".rope.dimension_count", rope);
  w.text(a + ".rope.scaling.type", "yarn");
  w.number(a + ".rope.scaling.factor", g.config["rope_scaling"]["factor"].number());
  w.number(a + ".rope.scaling.original_context_length",
           static_cast<uint32_t>(g.config["rope_scaling"]["original_max_position_embeddings"].integer()));
  w.number(a + ".rope.scaling.yarn_log_multiplier", 0.1 * g.config["rope_scaling"]["mscale_all_dim"].number());
  w.number(a + ".expert_count", number(g, "n_routed_experts"));
  w.number(a + ".expert_used_count", number(g, "num_experts_per_tok"));
  w.number(a + ".expert_shared_count", number(g, "n_shared_experts"));
  w.number(a + ".expert_group_count", number(g, "n_group"));
  w.number(a + ".expert_group_used_count", number(g, "topk_group"));
  w.number(a + ".expert_weights_scale", g.config["routed_scaling_factor"].number());
  w.flag(a + ".expert_weights_norm", true);
  w.number(a + ".expert_gating_func", uint32_t{2});
  w.number(a + ".expert_feed_forward_length", number(g, "moe_intermediate_size"));
  w.number(a + ".leading_dense_block_count", number(g, "first_k_dense_replace"));
  for (uint32_t layer = 0; layer < layers + multi_token_block; ++layer) {
    const std::string b = "blk." + std::to_string(layer) + ".", h = "model.layers." + std::to_string(layer) + ".";
    const std::pair<const char*, const char*> kPlain[] = {
        {"attn_norm.weight", "input_layernorm.weight"},
        {"ffn_norm.weight", "post_attention_layernorm.weight"},
        {"attn_q_a.weight", "self_attn.q_a_proj.weight"},
        {"attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight"},
        {"attn_q_b.weight", "self_attn.q_b_proj.weight"},
        {"attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight"},
        {"attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight"},
        {"attn_output.weight", "self_attn.o_proj.weight"},
        {"ffn_gate.weight", "mlp.gate_proj.weight"},
        {"ffn_up.weight", "mlp.up_proj.weight"},
        {"ffn_down.weight", "mlp.down_proj.weight"},
        {"ffn_gate_inp.weight", "mlp.gate.weight"},
        {"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
        {"ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight"},
        {"ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight"},
        {"ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight"},
        {"nextn.eh_proj.weight", "eh_proj.weight"},
        {"nextn.enorm.weight", "enorm.weight"},
        {"nextn.hnorm.weight", "hnorm.weight"},
        {"nextn.shared_head_norm.weight", "shared_head.norm.weight"}};
    for (const auto& [gguf, hf] : kPlain) {
      if (t.bytes.contains(h + hf)) copy_tensor(w, t, b + gguf, h + hf);
    }
    for (const char* part : {"gate", "up", "down"}) {
      const std::string first = h + "mlp.experts.0." + part + "_proj.weight";
      if (!t.bytes.contains(first)) continue;
      std::string stacked;
      const uint64_t experts = number(g, "n_routed_experts");
      for (uint64_t e = 0; e < experts; ++e) {
        stacked += t.bytes.at(h + "mlp.experts." + std::to_string(e) + "." + part + "_proj.weight");
      }
      w.tensor(b + "ffn_" + part + "_exps.weight", {experts, t.shape.at(first)[0], t.shape.at(first)[1]}, stacked);
    }
    const std::string kv_name = h + "self_attn.kv_b_proj.weight";
    const std::string& kv = t.bytes.at(kv_name);
    if (layout != KeyValue::split) w.tensor(b + "attn_kv_b.weight", t.shape.at(kv_name), kv);
    if (layout != KeyValue::fused) {
      std::string k_b(size_t{heads} * lora * nope * 4, '\0'), v_b;
      for (uint32_t head = 0; head < heads; ++head) {
        const char* rows = kv.data() + size_t{head} * (nope + v) * lora * 4;
        for (uint32_t i = 0; i < nope; ++i) {
          for (uint32_t j = 0; j < lora; ++j) {
            std::memcpy(&k_b[((size_t{head} * lora + j) * nope + i) * 4], rows + (size_t{i} * lora + j) * 4, 4);
          }
        }
        v_b.append(rows + size_t{nope} * lora * 4, size_t{v} * lora * 4);
      }
      w.tensor(b + "attn_k_b.weight", {heads, lora, nope}, k_b);
      w.tensor(b + "attn_v_b.weight", {heads, v, lora}, v_b);
    }
  }
  return w.bytes();
}

// Llama with rows of q and k reordered for interleaved rope, and its scaling as divisors of the frequencies.
GgufWriter llama_gguf(const Golden& g, int first_layer, int last_layer, bool outer) {
  const Tensors t = tensors_of(g);
  GgufWriter w;
  const uint32_t heads = number(g, "num_attention_heads"), width = number(g, "hidden_size");
  const uint32_t dims = width / heads;
  if (outer) {
    common(w, g, t, "llama", number(g, "num_hidden_layers"));
    w.number("llama.attention.head_count_kv", number(g, "num_key_value_heads"));
    w.number("llama.rope.dimension_count", dims);
    const Json& s = g.config["rope_scaling"];
    std::string divisors;
    for (uint32_t i = 0; i < dims / 2; ++i) {
      const double wavelength = 2 * M_PI * std::pow(g.config["rope_theta"].number(), 2.0 * i / dims);
      const double original = s["original_max_position_embeddings"].number(), low = s["low_freq_factor"].number(),
                   high = s["high_freq_factor"].number(), factor = s["factor"].number();
      double divisor = factor;
      if (wavelength < original / high) {
        divisor = 1;
      } else if (wavelength <= original / low) {
        const double smooth = (original / wavelength - low) / (high - low);
        divisor = 1 / ((1 - smooth) / factor + smooth);
      }
      divisors += GgufWriter::raw(static_cast<float>(divisor));
    }
    w.tensor("rope_freqs.weight", {dims / 2}, divisors);
  }
  for (int layer = first_layer; layer < last_layer; ++layer) {
    const std::string b = "blk." + std::to_string(layer) + ".", h = "model.layers." + std::to_string(layer) + ".";
    const std::pair<const char*, const char*> kPlain[] = {
        {"attn_norm.weight", "input_layernorm.weight"}, {"ffn_norm.weight", "post_attention_layernorm.weight"},
        {"attn_v.weight", "self_attn.v_proj.weight"},   {"attn_output.weight", "self_attn.o_proj.weight"},
        {"ffn_gate.weight", "mlp.gate_proj.weight"},    {"ffn_up.weight", "mlp.up_proj.weight"},
        {"ffn_down.weight", "mlp.down_proj.weight"}};
    for (const auto& [gguf, hf] : kPlain) copy_tensor(w, t, b + gguf, h + hf);
    for (const char* part : {"q", "k"}) {
      const std::string name = h + "self_attn." + part + "_proj.weight";
      const std::string& rows = t.bytes.at(name);
      const size_t row_bytes = size_t{width} * 4, count = rows.size() / row_bytes;
      std::string permuted(rows.size(), '\0');
      for (size_t r = 0; r < count; ++r) {  // row 2j + s of a head comes from row s * dims/2 + j
        const size_t head = r / dims, within = r % dims;
        const size_t from = head * dims + within % 2 * (dims / 2) + within / 2;
        std::memcpy(&permuted[r * row_bytes], &rows[from * row_bytes], row_bytes);
      }
      w.tensor(b + "attn_" + part + ".weight", t.shape.at(name), permuted);
    }
  }
  return w;
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
