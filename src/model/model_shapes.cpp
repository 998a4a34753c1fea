#include "model/model_shapes.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

#include "model/rope_scaling.h"

namespace landfall {
namespace {

// From the config.json of each model.
constexpr ModelShape kShapes[] = {
    {"deepseek-llm-7b", "llama", "deepseek-llm", 4096, 30, 32, 32, 11008, 102400, 4096},
    {"deepseek-llm-67b", "llama", "deepseek-llm", 8192, 95, 64, 8, 22016, 102400, 4096},
    {.name = "deepseek-coder-1.3b",
     .architecture = "llama",
     .pre_tokenizer = "deepseek-coder",
     .width = 2048,
     .layers = 24,
     .heads = 16,
     .kv_heads = 16,
     .ffn = 5504,
     .vocab = 32256,
     .context = 16384,
     .rope_base = 1e5,
     .rope_scaling = "linear",
     .rope_factor = 4},
    {.name = "deepseek-coder-6.7b",
     .architecture = "llama",
     .pre_tokenizer = "deepseek-coder",
     .width = 4096,
     .layers = 32,
     .heads = 32,
     .kv_heads = 32,
     .ffn = 11008,
     .vocab = 32256,
     .context = 16384,
     .rope_base = 1e5,
     .rope_scaling = "linear",
     .rope_factor = 4},
    {.name = "deepseek-coder-33b",
     .architecture = "llama",
     .pre_tokenizer = "deepseek-coder",
     .width = 7168,
     .layers = 62,
     .heads = 56,
     .kv_heads = 8,
     .ffn = 19200,
     .vocab = 32256,
     .context = 16384,
     .rope_base = 1e5,
     .rope_scaling = "linear",
     .rope_factor = 4},
    {.name = "deepseek-moe-16b",
     .architecture = "deepseek",
     .pre_tokenizer = "deepseek-llm",
     .width = 2048,
     .layers = 28,
     .heads = 16,
     .kv_heads = 16,
     .ffn = 10944,
     .vocab = 102400,
     .context = 4096,
     .experts = 64,
     .experts_used = 6,
     .shared_experts = 2,
     .expert_ffn = 1408,
     .dense_layers = 1},
    {.name = "deepseek-v2-lite",
     .architecture = "deepseek2",
     .pre_tokenizer = "deepseek-llm",
     .width = 2048,
     .layers = 27,
     .heads = 16,
     .kv_heads = 16,
     .ffn = 10944,
     .vocab = 102400,
     .context = 163840,
     .rope_scaling = "yarn",
     .rope_factor = 40,
     .rope_original = 4096,
     .yarn_log_multiplier = 0.0707,
     .kv_lora = 512,
     .experts = 64,
     .experts_used = 6,
     .shared_experts = 2,
     .expert_ffn = 1408,
     .dense_layers = 1},
    {.name = "deepseek-v2",
     .architecture = "deepseek2",
     .pre_tokenizer = "deepseek-llm",
     .width = 5120,
     .layers = 60,
     .heads = 128,
     .kv_heads = 128,
     .ffn = 12288,
     .vocab = 102400,
     .context = 163840,
     .rope_scaling = "yarn",
     .rope_factor = 40,
     .rope_original = 4096,
     .yarn_log_multiplier = 0.0707,
     .q_lora = 1536,
     .kv_lora = 512,
     .experts = 160,
     .experts_used = 6,
     .shared_experts = 2,
     .expert_ffn = 1536,
     .dense_layers = 1,
     .groups = 8,
     .groups_kept = 3,
     .expert_scale = 16},
    {.name = "deepseek-v3",
     .architecture = "deepseek2",
     .pre_tokenizer = "deepseek-v3",
     .width = 7168,
     .layers = 61,
     .heads = 128,
     .kv_heads = 128,
     .ffn = 18432,
     .vocab = 129280,
     .context = 163840,
     .rope_scaling = "yarn",
     .rope_factor = 40,
     .rope_original = 4096,
     .yarn_log_multiplier = 0.1,
     .q_lora = 1536,
     .kv_lora = 512,
     .experts = 256,
     .experts_used = 8,
     .shared_experts = 1,
     .expert_ffn = 2048,
     .dense_layers = 3,
     .groups = 8,
     .groups_kept = 4,
     .sigmoid_gate = true,
     .expert_scale = 2.5},
    {"r1-distill-qwen-1.5b", "qwen2", "deepseek-r1-qwen", 1536, 28, 12, 2, 8960, 151936, 131072},
    {"r1-distill-qwen-7b", "qwen2", "deepseek-r1-qwen", 3584, 28, 28, 4, 18944, 152064, 131072},
    {.name = "r1-distill-qwen-14b",
     .architecture = "qwen2",
     .pre_tokenizer = "deepseek-r1-qwen",
     .width = 5120,
     .layers = 48,
     .heads = 40,
     .kv_heads = 8,
     .ffn = 13824,
     .vocab = 152064,
     .context = 131072,
     .epsilon = 1e-5,
     .rope_base = 1e6},
    {.name = "r1-distill-qwen-32b",
     .architecture = "qwen2",
     .pre_tokenizer = "deepseek-r1-qwen",
     .width = 5120,
     .layers = 64,
     .heads = 40,
     .kv_heads = 8,
     .ffn = 27648,
     .vocab = 152064,
     .context = 131072,
     .epsilon = 1e-5,
     .rope_base = 1e6},
    {.name = "r1-distill-llama-8b",
     .architecture = "llama",
     .pre_tokenizer = "llama-bpe",
     .width = 4096,
     .layers = 32,
     .heads = 32,
     .kv_heads = 8,
     .ffn = 14336,
     .vocab = 128256,
     .context = 131072,
     .epsilon = 1e-5,
     .rope_base = 5e5,
     .rope_scaling = "llama3",
     .rope_factor = 8,
     .rope_original = 8192},
    {.name = "r1-distill-llama-70b",
     .architecture = "llama",
     .pre_tokenizer = "llama-bpe",
     .width = 8192,
     .layers = 80,
     .heads = 64,
     .kv_heads = 8,
     .ffn = 28672,
     .vocab = 128256,
     .context = 131072,
     .epsilon = 1e-5,
     .rope_base = 5e5,
     .rope_scaling = "llama3",
     .rope_factor = 8,
     .rope_original = 8192},
    {.name = "r1-qwen3-8b",
     .architecture = "qwen3",
     .pre_tokenizer = "qwen2",
     .width = 4096,
     .layers = 36,
     .heads = 32,
     .kv_heads = 8,
     .ffn = 12288,
     .vocab = 151936,
     .context = 131072,
     .head_dim = 128,
     .rope_base = 1e6,
     .rope_scaling = "yarn",
     .rope_factor = 4,
     .rope_original = 32768},
    // TinyLlama: small enough that a comparison of engines takes a minute.
    {"llama-1.1b", "llama", "default", 2048, 22, 32, 4, 5632, 32000, 2048},
    // Of no publisher: to measure training with. Two of its layers make 10 million numbers that a token is multiplied
    // with, all of them are deep.
    {"llama-small", "llama", "default", 512, 64, 8, 8, 1376, 8192, 2048},
};

}  // namespace

std::span<const ModelShape> model_shapes() { return kShapes; }

Result<ModelShape> find_model_shape(std::string_view name) {
  // Models that were trained further and kept their shape.
  constexpr std::pair<std::string_view, std::string_view> kSame[] = {
      {"deepseek-r1", "deepseek-v3"},
      {"deepseek-v3.1", "deepseek-v3"},
      {"deepseek-v2.5", "deepseek-v2"},
      {"deepseek-coder-v2", "deepseek-v2"},
      {"deepseek-coder-v2-lite", "deepseek-v2-lite"},
  };
  std::string known;
  for (const ModelShape& shape : kShapes) {
    const auto same = [&](const auto& pair) { return pair.first == name && pair.second == shape.name; };
    if (shape.name == name || std::any_of(std::begin(kSame), std::end(kSame), same)) return shape;
    known += (known.empty() ? "" : ", ") + std::string(shape.name);
  }
  return Status(Code::invalid_argument,
                "there is no model shape '" + std::string(name.substr(0, 80)) + "'; known are: " + known);
}

ModelShape with_layers(ModelShape shape, int64_t layers) {
  if (shape.dense_layers > 0) {
    const double share =
        static_cast<double>(shape.dense_layers) * static_cast<double>(layers) / static_cast<double>(shape.layers);
    shape.dense_layers = std::min(std::max<int64_t>(1, std::llround(share)), layers);
  }
  shape.layers = layers;
  return shape;
}

Json shape_metadata(const ModelShape& s, bool fused) {
  Json out{Json::Object{}};
  const std::string prefix = std::string(s.architecture) + ".";
  auto set = [&](const char* key, Json value) { out.set(prefix + key, std::move(value)); };
  out.set("general.architecture", s.architecture);
  out.set("general.name", std::string(s.name) + " with random weights");
  out.set("general.quantization_version", 2);
  set("vocab_size", s.vocab);
  set("context_length", s.context);
  set("embedding_length", s.width);
  set("block_count", s.layers);
  set("feed_forward_length", s.ffn);
  set("attention.head_count", s.heads);
  set("attention.layer_norm_rms_epsilon", s.epsilon);
  set("rope.freq_base", s.rope_base);
  const bool latent = s.kv_lora > 0;
  if (latent) {
    if (s.q_lora > 0) set("attention.q_lora_rank", s.q_lora);
    set("attention.kv_lora_rank", s.kv_lora);
    set("attention.head_count_kv", fused ? s.heads : 1);
    set("attention.key_length", fused ? s.nope + s.rope : s.kv_lora + s.rope);
    set("attention.value_length", fused ? s.value : s.kv_lora);
    if (!fused) set("attention.key_length_mla", s.nope + s.rope);
    if (!fused) set("attention.value_length_mla", s.value);
    set("rope.dimension_count", s.rope);
  } else {
    set("attention.head_count_kv", s.kv_heads);
    set("attention.key_length", s.head_columns());
    set("attention.value_length", s.head_columns());
    set("rope.dimension_count", s.head_columns());
  }
  if (s.rope_scaling == "linear" || s.rope_scaling == "yarn") {  // llama3's is a tensor of divisors
    set("rope.scaling.type", s.rope_scaling);
    set("rope.scaling.factor", s.rope_factor);
    if (s.rope_original > 0) set("rope.scaling.original_context_length", s.rope_original);
    if (s.yarn_log_multiplier > 0) set("rope.scaling.yarn_log_multiplier", s.yarn_log_multiplier);
    if (s.yarn_beta_fast != 32) set("rope.scaling.yarn_beta_fast", s.yarn_beta_fast);
    if (s.yarn_attention_factor != 1) set("rope.scaling.attn_factor", s.yarn_attention_factor);
    if (s.yarn_beta_slow != 1) set("rope.scaling.yarn_beta_slow", s.yarn_beta_slow);
  }
  if (s.experts > 0) {
    set("leading_dense_block_count", s.dense_layers);
    set("expert_count", s.experts);
    set("expert_used_count", s.experts_used);
    set("expert_shared_count", s.shared_experts);
    set("expert_feed_forward_length", s.expert_ffn);
    set("expert_weights_scale", s.expert_scale);
    set("expert_weights_norm", s.sigmoid_gate);
    set("expert_gating_func", s.sigmoid_gate ? 2 : 1);
    if (s.groups > 0) set("expert_group_count", s.groups);
    if (s.groups > 0) set("expert_group_used_count", s.groups_kept);
  }
  return out;
}

namespace {

// What transformers calls a family: model_type, and the class of its language models.
Result<std::pair<std::string_view, std::string_view>> published_names(const ModelShape& s) {
  using Names = std::pair<std::string_view, std::string_view>;
  if (s.architecture == "deepseek2" && s.sigmoid_gate) return Names{"deepseek_v3", "DeepseekV3ForCausalLM"};
  if (s.architecture == "deepseek2") return Names{"deepseek_v2", "DeepseekV2ForCausalLM"};
  if (s.architecture == "deepseek") return Names{"deepseek", "DeepseekForCausalLM"};
  if (s.architecture == "qwen2") return Names{"qwen2", "Qwen2ForCausalLM"};
  if (s.architecture == "qwen3") return Names{"qwen3", "Qwen3ForCausalLM"};
  if (s.architecture == "llama") return Names{"llama", "LlamaForCausalLM"};
  return Status(Code::unsupported, "how a Hugging Face folder calls the architecture '" + std::string(s.architecture) +
                                       "' is not known here");
}

Json published_scaling(const ModelShape& s) {
  if (s.rope_scaling.empty()) return Json();
  Json out;
  out.set("type", s.rope_scaling).set("rope_type", s.rope_scaling).set("factor", s.rope_factor);
  if (s.rope_original > 0) out.set("original_max_position_embeddings", s.rope_original);
  if (s.rope_scaling == "llama3") out.set("low_freq_factor", 1.0).set("high_freq_factor", 4.0);
  if (s.yarn_attention_factor != 1)
    out.set("attention_factor", yarn_temperature(s.rope_factor, 1) * s.yarn_attention_factor);
  if (s.rope_scaling == "yarn") out.set("beta_fast", s.yarn_beta_fast).set("beta_slow", s.yarn_beta_slow);
  if (s.yarn_log_multiplier > 0) {  // both the same: cos and sin keep their size
    out.set("mscale", 10 * s.yarn_log_multiplier).set("mscale_all_dim", 10 * s.yarn_log_multiplier);
  }
  return out;
}

}  // namespace

Result<Json> shape_config(const ModelShape& s) {
  Json out;
  LANDFALL_ASSIGN(const auto names, published_names(s));
  out.set("architectures", Json(Json::Array{Json(names.second)})).set("model_type", names.first);
  out.set("hidden_size", s.width).set("num_hidden_layers", s.layers).set("intermediate_size", s.ffn);
  out.set("num_attention_heads", s.heads).set("num_key_value_heads", s.kv_lora > 0 ? s.heads : s.kv_heads);
  out.set("vocab_size", s.vocab).set("max_position_embeddings", s.context).set("rms_norm_eps", s.epsilon);
  out.set("hidden_act", "silu").set("attention_bias", false).set("tie_word_embeddings", s.tied);
  out.set("rope_theta", s.rope_base).set("rope_scaling", published_scaling(s));
  if (s.kv_lora > 0) {
    out.set("q_lora_rank", s.q_lora > 0 ? Json(s.q_lora) : Json()).set("kv_lora_rank", s.kv_lora);
    out.set("qk_nope_head_dim", s.nope).set("qk_rope_head_dim", s.rope).set("v_head_dim", s.value);
    out.set("num_nextn_predict_layers", 0);
  } else {
    out.set("head_dim", s.head_columns());
  }
  if (s.experts > 0) {
    out.set("n_routed_experts", s.experts).set("n_shared_experts", s.shared_experts).set("moe_layer_freq", 1);
    out.set("num_experts_per_tok", s.experts_used).set("moe_intermediate_size", s.expert_ffn);
    out.set("first_k_dense_replace", s.dense_layers).set("norm_topk_prob", s.sigmoid_gate);
    out.set("scoring_func", s.sigmoid_gate ? "sigmoid" : "softmax").set("routed_scaling_factor", s.expert_scale);
    const int64_t groups = std::max<int64_t>(s.groups, 1);
    out.set("n_group", groups).set("topk_group", groups > 1 ? s.groups_kept : 1);
    out.set("topk_method", s.sigmoid_gate ? "noaux_tc" : groups > 1 ? "group_limited_greedy" : "greedy");
  } else if (s.kv_lora > 0) {
    out.set("first_k_dense_replace", s.layers);  // who reads it would think of experts
  }
  return out;
}

}  // namespace landfall
