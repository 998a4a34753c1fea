// DeepSeek-V2, V2-Lite, V2.5, V3, R1 and V3.1: latent attention (arXiv 2405.04434) and experts with a softmax gate (V2)
// or a sigmoid gate with correction bias and group limits (V3, arXiv 2412.19437). What varies is read from the file:
// queries with or without a low-rank step, gate, groups, scaling, and GGUF's two layouts of the key-value matrix (one
// kv_b, or k_b transposed and v_b). Rope is interleaved in every kind of file. V3 files carry a multi-token layer too.
#include <cmath>

#include "model/blocks.h"

namespace landfall {
namespace {

constexpr std::string_view kAccepts[] = {"deepseek2", "deepseek_v2", "deepseek_v3"};

// The norms inside latent attention keep this epsilon whatever the model's own is.
constexpr float kLatentEpsilon = 1e-6f;

void parse_gate(ConfigReader& in, Config& c) {
  const bool v3 = in.source().architecture == "deepseek_v3";
  c.experts = in.integer("expert_count", "n_routed_experts", 0, 4096, 0);
  if (c.experts == 0) return;
  c.shared_experts = in.integer("expert_shared_count", "n_shared_experts", 0, 64, 0);
  c.expert_ffn = in.integer("expert_feed_forward_length", "moe_intermediate_size", 2, 1 << 20);
  c.dense_layers = in.integer("leading_dense_block_count", "first_k_dense_replace", 0, 1024, 0);
  if (in.integer("", "moe_layer_freq", 1, 1024, 1) != 1)
    in.fail(Code::unsupported, "moe_layer_freq other than 1 is not supported");
  bool sigmoid = v3;
  if (in.gguf()) {
    const int64_t function = in.integer("expert_gating_func", "", 0, 100, 1);
    if (function > 2)
      in.fail(Code::unsupported, "expert gating function " + std::to_string(function) +
                                     " is not supported; 1 (softmax) and 2 (sigmoid) are");
    sigmoid = function == 2;
    c.router_bias =
        sigmoid && in.source().find("blk." + std::to_string(c.dense_layers) + ".exp_probs_b.bias") != nullptr;
  } else {
    const std::string& scoring = in.value("", "scoring_func").string();
    if (!scoring.empty()) sigmoid = scoring == "sigmoid";
    if (!scoring.empty() && scoring != "sigmoid" && scoring != "softmax")
      in.fail(Code::unsupported, "scoring_func '" + scoring + "' is not supported");
    c.router_bias = sigmoid;
  }
  const std::string& method = in.value("", "topk_method").string();
  const bool grouped = in.gguf() || sigmoid || method == "group_limited_greedy";
  c.router.gate = sigmoid ? RouterSpec::Gate::sigmoid : RouterSpec::Gate::softmax;
  c.router.experts_per_row = static_cast<int32_t>(in.integer("expert_used_count", "num_experts_per_tok", 1, c.experts));
  c.router.groups = grouped ? static_cast<int32_t>(in.integer("expert_group_count", "n_group", 1, c.experts, 1)) : 1;
  c.router.groups_kept = grouped ? static_cast<int32_t>(in.integer("expert_group_used_count", "topk_group", 1,
                                                                   c.router.groups, c.router.groups))
                                 : 1;
  // V2's released code multiplies by the scale without normalising, whatever norm_topk_prob says.
  c.router.normalise = (in.gguf() || sigmoid) && in.boolean("expert_weights_norm", "norm_topk_prob", false);
  c.router.scale = static_cast<float>(in.number("expert_weights_scale", "routed_scaling_factor", 1.0));
  if (c.router.scale == 0.0f) c.router.scale = 1.0f;  // how some files say "no scale"
  if (c.experts % c.router.groups != 0)
    in.fail(Code::invalid_argument,
            std::to_string(c.experts) + " experts cannot be cut into " + std::to_string(c.router.groups) + " groups");
  if (c.router.experts_per_row > c.experts / c.router.groups * c.router.groups_kept) {
    in.fail(Code::invalid_argument, std::to_string(c.router.experts_per_row) + " experts per token do not fit into " +
                                        std::to_string(c.router.groups_kept) + " groups");
  }
}

void parse(ConfigReader& in, Config& c) {
  in.read_common(c);
  c.kv_lora = in.integer("attention.kv_lora_rank", "kv_lora_rank", 2, 1 << 16);
  c.q_lora = in.integer("attention.q_lora_rank", "q_lora_rank", 0, 1 << 16, 0);
  const int64_t rope_dims = in.integer("rope.dimension_count", "qk_rope_head_dim", 2, 1 << 14);
  if (in.gguf()) {
    // Newer files describe the latent cache row in key_length and the head in key_length_mla.
    const bool latent_row = in.has("attention.key_length_mla", "");
    c.nope = in.integer(latent_row ? "attention.key_length_mla" : "attention.key_length", "", rope_dims + 2, 1 << 14) -
             rope_dims;
    c.value_dim = in.integer(latent_row ? "attention.value_length_mla" : "attention.value_length", "", 2, 1 << 14);
    c.multi_token_layers = in.integer("nextn_predict_layers", "", 0, 16, 0);
    c.layers -= c.multi_token_layers;  // GGUF counts them among the blocks
    if (c.layers < 1) in.fail(Code::invalid_argument, "no layers are left beside the multi-token layers");
  } else {
    c.nope = in.integer("", "qk_nope_head_dim", 2, 1 << 14);
    c.value_dim = in.integer("", "v_head_dim", 2, 1 << 14);
    c.multi_token_layers = in.integer("", "num_nextn_predict_layers", 0, 16, 0);
    if (in.boolean("", "attention_bias", false)) in.fail(Code::unsupported, "attention biases are not supported");
  }
  // Files with both layouts of the key-value matrix are read through the one as projected.
  c.key_absorbed = in.gguf() && in.source().find("blk.0.attn_kv_b.weight") == nullptr;
  c.kv_heads = c.heads;
  c.head_dim = c.nope + rope_dims;
  c.rope_interleaved = true;
  const double m = in.read_rope(c, rope_dims);
  c.attention_scale = static_cast<float>(m * m / std::sqrt(static_cast<double>(c.head_dim)));
  parse_gate(in, c);
}

std::vector<WeightSpec> weights(const Config& c, int64_t layer) {
  if (layer < 0) return outer_weights(c);
  std::vector<WeightSpec> out = layer_norms(c, layer);
  const int64_t q = c.heads * c.head_dim, kv = c.nope + c.value_dim;
  if (c.q_lora > 0) {
    out.push_back(layer_weight(layer, "attn_q_a", "attn_q_a.weight", "self_attn.q_a_proj.weight", c.q_lora, c.width));
    out.push_back(
        layer_vector(layer, "attn_q_a_norm", "attn_q_a_norm.weight", "self_attn.q_a_layernorm.weight", c.q_lora));
    out.push_back(layer_weight(layer, "attn_q_b", "attn_q_b.weight", "self_attn.q_b_proj.weight", q, c.q_lora));
  } else {
    out.push_back(layer_weight(layer, "attn_q", "attn_q.weight", "self_attn.q_proj.weight", q, c.width));
  }
  out.push_back(layer_weight(layer, "attn_kv_a_mqa", "attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight",
                             c.kv_lora + c.rope_dims, c.width));
  out.push_back(
      layer_vector(layer, "attn_kv_a_norm", "attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight", c.kv_lora));
  // Of the key-value matrix [heads * (nope + v), lora]: the key rows as they are, or GGUF's k_b, their transpose per
  // head.
  const std::vector<WeightPlace> key_rows = {{"attn_kv_b.weight", "self_attn.kv_b_proj.weight", kv, 0}};
  const std::vector<WeightPlace> value_rows = {{"attn_kv_b.weight", "self_attn.kv_b_proj.weight", kv, c.nope}};
  if (c.key_absorbed) {
    out.push_back(expert_weight(layer, "key_absorb", {{"attn_k_b.weight", ""}}, c.heads, c.kv_lora, c.nope));
    out.push_back(expert_weight(layer, "value_up", {{"attn_v_b.weight", ""}}, c.heads, c.value_dim, c.kv_lora));
  } else {
    out.push_back(expert_weight(layer, "key_up", key_rows, c.heads, c.nope, c.kv_lora));
    out.push_back(expert_weight(layer, "value_up", value_rows, c.heads, c.value_dim, c.kv_lora));
  }
  out.push_back(layer_weight(layer, "attn_output", "attn_output.weight", "self_attn.o_proj.weight", c.width,
                             c.heads * c.value_dim));
  append_feed_forward(out, layer, c);
  return out;
}

std::vector<CacheSlot> cache(const Config& c) {
  std::vector<CacheSlot> out;
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    out.push_back({"latent" + std::to_string(layer), static_cast<int32_t>(c.kv_lora + c.rope_dims)});
  }
  return out;
}

Tensor attend_latent(Ctx& ctx, const Model& model, int64_t layer, const Tensor& x) {
  const Config& c = model.config();
  const int64_t rows = x.rows();
  Tensor q;
  if (c.q_lora > 0) {
    const Tensor low = rms_norm(ctx, linear(ctx, x, model.weight(layer, "attn_q_a")),
                                model.weight(layer, "attn_q_a_norm"), kLatentEpsilon);
    q = linear(ctx, low, model.weight(layer, "attn_q_b"));
  } else {
    q = linear(ctx, x, model.weight(layer, "attn_q"));
  }
  q = rope(ctx, reshape(ctx, q, {rows, c.heads, c.head_dim}), ctx.positions, rope_spec(c, c.nope));
  const Tensor kv = linear(ctx, x, model.weight(layer, "attn_kv_a_mqa"));
  const Tensor latent =
      rms_norm(ctx, slice(ctx, kv, 0, c.kv_lora), model.weight(layer, "attn_kv_a_norm"), kLatentEpsilon);
  const Tensor rotated =
      rope(ctx, reshape(ctx, kv, {rows, 1, c.kv_lora + c.rope_dims}), ctx.positions, rope_spec(c, c.kv_lora));
  const Tensor key_rope = slice(ctx, reshape(ctx, rotated, {rows, c.kv_lora + c.rope_dims}), c.kv_lora, c.rope_dims);
  const Tensor o =
      latent_attention(ctx, q, latent, key_rope, model.find(layer, "key_up"), model.find(layer, "key_absorb"),
                       model.weight(layer, "value_up"), c.attention_scale, static_cast<int>(layer));
  return linear(ctx, reshape(ctx, o, {rows, c.heads * c.value_dim}), model.weight(layer, "attn_output"));
}

Tensor layer(Ctx& ctx, const Model& model, int64_t i, Tensor state) {
  return pre_norm_layer(ctx, model, i, state, attend_latent, layer_feed_forward);
}

// The multi-token layer of V3 (arXiv 2412.19437, section 2.2), which guesses token i + 2 from the hidden state of token
// i and the embedding of token i + 1. As in the engines that serve it (vLLM's deepseek_mtp, SGLang's deepseek_nextn),
// the embedding stands first in the columns of eh_proj, and the hidden state is the one behind the model's last norm;
// behind this layer's own norm it can stand for that of the next token. Embedding and output matrix are the model's, of
// which some files hold copies.
std::vector<WeightSpec> multi_token_weights(const Config& c, int64_t layer) {
  std::vector<WeightSpec> out = weights(c, layer);
  out.push_back(layer_weight(layer, "eh_proj", "nextn.eh_proj.weight", "eh_proj.weight", c.width, 2 * c.width));
  out.push_back(layer_vector(layer, "enorm", "nextn.enorm.weight", "enorm.weight", c.width));
  out.push_back(layer_vector(layer, "hnorm", "nextn.hnorm.weight", "hnorm.weight", c.width));
  out.push_back(
      layer_vector(layer, "shared_head_norm", "nextn.shared_head_norm.weight", "shared_head.norm.weight", c.width));
  return out;
}

Tensor multi_token_embed(Ctx& ctx, const Model& model) {
  const float epsilon = model.config().norm_epsilon;
  const Tensor e = rms_norm(ctx, embed_tokens(ctx, model), model.weight(0, "enorm"), epsilon);
  const Tensor h = rms_norm(ctx, ctx.hidden, model.weight(0, "hnorm"), epsilon);
  return linear(ctx, concat(ctx, e, h), model.weight(0, "eh_proj"));
}

Tensor multi_token_norm(Ctx& ctx, const Model& model, Tensor state) {
  return rms_norm(ctx, state, model.weight(0, "shared_head_norm"), model.config().norm_epsilon);
}

constexpr Architecture kMultiToken = {.name = "deepseek2 multi-token",
                                      .accepts = {},
                                      .parse = nullptr,
                                      .weights = multi_token_weights,
                                      .cache = cache,
                                      .embed = multi_token_embed,
                                      .layer = layer,
                                      .norm = multi_token_norm,
                                      .head = final_logits,
                                      .reads_hidden = true};

}  // namespace

extern const Architecture k_deepseek2;
const Architecture k_deepseek2 = {"deepseek2",  kAccepts, parse,      weights,      cache,
                                  embed_tokens, layer,    final_norm, final_logits, &kMultiToken};

}  // namespace landfall
