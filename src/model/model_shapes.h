// The true shapes of the models that Landfall runs, as their publishers' configurations state them, for files of random
// weights and for tests. Names are those that people use, in lower case.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace landfall {

struct ModelShape {
  std::string_view name;
  std::string_view architecture;   // general.architecture
  std::string_view pre_tokenizer;  // tokenizer.ggml.pre
  int64_t width, layers, heads, kv_heads, ffn, vocab, context;
  double epsilon = 1e-6;
  int64_t head_dim = 0;  // 0: width / heads
  // Rotary embedding; llama3 means the one scaling of Llama 3.1.
  double rope_base = 1e4;
  std::string_view rope_scaling = "";  // "linear", "yarn", "llama3"
  double rope_factor = 1;
  int64_t rope_original = 0;
  double yarn_log_multiplier = 0, yarn_beta_fast = 32, yarn_beta_slow = 1;
  double yarn_attention_factor = 1;  // beside YaRN's own; not with latent attention
  // Latent attention: kv_lora > 0. A head has nope + rope columns; all published models have the same.
  int64_t q_lora = 0, kv_lora = 0;
  int64_t nope = 128, rope = 64, value = 128;
  // Experts: experts > 0.
  int64_t experts = 0, experts_used = 0, shared_experts = 0, expert_ffn = 0, dense_layers = 0;
  int64_t groups = 0, groups_kept = 0;
  bool sigmoid_gate = false;  // with correction bias and normalised weights
  double expert_scale = 1;
  bool tied = false;  // the embedding is the output matrix too

  // Of a head of grouped-query attention.
  int64_t head_columns() const { return head_dim > 0 ? head_dim : width / heads; }
};

std::span<const ModelShape> model_shapes();

// By name; an unknown one is an error that lists the known.
Result<ModelShape> find_model_shape(std::string_view name);

// The same model with fewer layers: of the leading dense ones as many as keep the proportion, at least one where there
// were any.
ModelShape with_layers(ModelShape shape, int64_t layers);

// GGUF metadata of the model without its tokenizer. fused: latent attention as older files describe it, for one
// attn_kv_b tensor in place of attn_k_b and attn_v_b.
Json shape_metadata(const ModelShape& shape, bool fused);
// config.json of the model, without the type of its numbers and without its tokenizer's tokens. Unsupported for an
// architecture whose name in such files is not known here.
Result<Json> shape_config(const ModelShape& shape);

}  // namespace landfall
