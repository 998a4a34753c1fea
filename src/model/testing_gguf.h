// For tests: GGUF files as people have them, with the numbers of golden models: latent attention in its layouts,
// permuted rows.
#pragma once

#include <cmath>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/env.h"
#include "model/testing.h"

namespace landfall {

// A small GGUF writer of its own, so that the product's is not judged by itself.
class GgufWriter {
 public:
  void number(const std::string& key, uint32_t v) { value(key, 4, raw(v)); }
  void number(const std::string& key, double v) { value(key, 6, raw(static_cast<float>(v))); }
  void flag(const std::string& key, bool v) { value(key, 7, std::string(1, v ? '\1' : '\0')); }
  void text(const std::string& key, const std::string& v) { value(key, 8, string(v)); }
  void texts(const std::string& key, const std::vector<std::string>& v) {
    std::string list = raw(uint32_t{8}) + raw(static_cast<uint64_t>(v.size()));
    for (const std::string& s : v) list += string(s);
    value(key, 9, list);
  }
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
struct GoldenTensors {
  std::map<std::string, std::string> bytes;
  std::map<std::string, std::vector<uint64_t>> shape;
};

inline GoldenTensors tensors_of(const Golden& golden) {
  GoldenTensors out;
  for (const Json& t : golden.info["tensors"].array()) {
    const std::string& name = t["name"].string();
    out.bytes[name] = golden_tensor_bytes(t, static_cast<uint64_t>(golden.info["seed"].integer()));
    for (const Json& n : t["shape"].array()) out.shape[name].push_back(static_cast<uint64_t>(n.integer()));
  }
  return out;
}

inline void copy_tensor(GgufWriter& w, const GoldenTensors& t, const std::string& gguf, const std::string& hf) {
  w.tensor(gguf, t.shape.at(hf), t.bytes.at(hf));
}

inline uint32_t config_number(const Golden& g, const char* key) {
  return static_cast<uint32_t>(g.config[key].integer());
}

inline void common_metadata(GgufWriter& w, const Golden& g, const GoldenTensors& t, const std::string& arch,
                            uint32_t blocks) {
  w.text("general.architecture", arch);
  w.number(arch + ".block_count", blocks);
  w.number(arch + ".embedding_length", config_number(g, "hidden_size"));
  w.number(arch + ".feed_forward_length", config_number(g, "intermediate_size"));
  w.number(arch + ".context_length", config_number(g, "max_position_embeddings"));
  w.number(arch + ".attention.head_count", config_number(g, "num_attention_heads"));
  w.number(arch + ".attention.layer_norm_rms_epsilon", g.config["rms_norm_eps"].number());
  w.number(arch + ".rope.freq_base", g.config["rope_theta"].number());
  copy_tensor(w, t, "token_embd.weight", "model.embed_tokens.weight");
  copy_tensor(w, t, "output_norm.weight", "model.norm.weight");
  if (t.bytes.contains("lm_head.weight")) copy_tensor(w, t, "output.weight", "lm_head.weight");
}

enum class KeyValue { fused, split, both };

inline std::string deepseek_v3_gguf(const Golden& g, KeyValue layout, bool multi_token_block) {
  const GoldenTensors t = tensors_of(g);
  GgufWriter w;
  const std::string a = "deepseek2";
  const uint32_t layers = config_number(g, "num_hidden_layers"), heads = config_number(g, "num_attention_heads");
  const uint32_t nope = config_number(g, "qk_nope_head_dim"), rope = config_number(g, "qk_rope_head_dim"),
                 v = config_number(g, "v_head_dim"), lora = config_number(g, "kv_lora_rank");
  common_metadata(w, g, t, a, layers + multi_token_block);
  if (multi_token_block) w.number(a + ".nextn_predict_layers", uint32_t{1});
  w.number(a + ".attention.head_count_kv", layout == KeyValue::fused ? heads : 1u);
  w.number(a + ".attention.key_length", layout == KeyValue::fused ? nope + rope : lora + rope);
  w.number(a + ".attention.value_length", layout == KeyValue::fused ? v : lora);
  if (layout != KeyValue::fused) {
    w.number(a + ".attention.key_length_mla", nope + rope);
    w.number(a + ".attention.value_length_mla", v);
  }
  w.number(a + ".attention.q_lora_rank", config_number(g, "q_lora_rank"));
  w.number(a + ".attention.kv_lora_rank", lora);
  w.number(a + ".rope.dimension_count", rope);
  w.text(a + ".rope.scaling.type", "yarn");
  w.number(a + ".rope.scaling.factor", g.config["rope_scaling"]["factor"].number());
  w.number(a + ".rope.scaling.original_context_length",
           static_cast<uint32_t>(g.config["rope_scaling"]["original_max_position_embeddings"].integer()));
  w.number(a + ".rope.scaling.yarn_log_multiplier", 0.1 * g.config["rope_scaling"]["mscale_all_dim"].number());
  w.number(a + ".expert_count", config_number(g, "n_routed_experts"));
  w.number(a + ".expert_used_count", config_number(g, "num_experts_per_tok"));
  w.number(a + ".expert_shared_count", config_number(g, "n_shared_experts"));
  w.number(a + ".expert_group_count", config_number(g, "n_group"));
  w.number(a + ".expert_group_used_count", config_number(g, "topk_group"));
  w.number(a + ".expert_weights_scale", g.config["routed_scaling_factor"].number());
  w.flag(a + ".expert_weights_norm", true);
  w.number(a + ".expert_gating_func", uint32_t{2});
  w.number(a + ".expert_feed_forward_length", config_number(g, "moe_intermediate_size"));
  w.number(a + ".leading_dense_block_count", config_number(g, "first_k_dense_replace"));
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
      const uint64_t experts = config_number(g, "n_routed_experts");
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
inline GgufWriter llama_gguf(const Golden& g, int first_layer, int last_layer, bool outer) {
  const GoldenTensors t = tensors_of(g);
  GgufWriter w;
  const uint32_t heads = config_number(g, "num_attention_heads"), width = config_number(g, "hidden_size");
  const uint32_t dims = width / heads;
  if (outer) {
    common_metadata(w, g, t, "llama", config_number(g, "num_hidden_layers"));
    w.number("llama.attention.head_count_kv", config_number(g, "num_key_value_heads"));
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

}  // namespace landfall
