#include "model/blocks.h"

namespace landfall {
namespace {

std::string gguf_name(int64_t layer, const std::string& name) {
  return name.empty() ? "" : "blk." + std::to_string(layer) + "." + name;
}

std::string hf_name(int64_t layer, const std::string& name) {
  return name.empty() ? "" : "model.layers." + std::to_string(layer) + "." + name;
}

}  // namespace

WeightSpec layer_weight(int64_t layer, std::string name, std::string gguf, std::string hf, int64_t out, int64_t in,
                        bool optional) {
  return {std::move(name), {{gguf_name(layer, gguf), hf_name(layer, hf)}}, 1, out, in, optional};
}

WeightSpec layer_vector(int64_t layer, std::string name, std::string gguf, std::string hf, int64_t n, bool optional) {
  return layer_weight(layer, std::move(name), std::move(gguf), std::move(hf), 1, n, optional);
}

WeightSpec expert_weight(int64_t layer, std::string name, std::vector<WeightPlace> places, int64_t experts, int64_t out,
                         int64_t in) {
  for (WeightPlace& place : places) {
    place.gguf = gguf_name(layer, place.gguf);
    place.hf = hf_name(layer, place.hf);
  }
  return {std::move(name), std::move(places), experts, out, in, false};
}

std::vector<WeightSpec> outer_weights(const Config& c) {
  std::vector<WeightSpec> out = {
      {"token_embd", {{"token_embd.weight", "model.embed_tokens.weight"}}, 1, c.vocab, c.width, false},
      {"output_norm", {{"output_norm.weight", "model.norm.weight"}}, 1, 1, c.width, false}};
  if (!c.tied) out.push_back({"output", {{"output.weight", "lm_head.weight"}}, 1, c.vocab, c.width, false});
  return out;
}

Tensor embed_tokens(Ctx& ctx, const Model& model) { return embedding(ctx, ctx.tokens, model.weight(-1, "token_embd")); }

Tensor final_norm(Ctx& ctx, const Model& model, Tensor state) {
  return rms_norm(ctx, state, model.weight(-1, "output_norm"), model.config().norm_epsilon);
}

Tensor final_logits(Ctx& ctx, const Model& model, Tensor hidden) {
  return logits(ctx, hidden, ctx.logits_rows, model.weight(-1, model.config().tied ? "token_embd" : "output"));
}

static void append_dense_ffn(std::vector<WeightSpec>& out, int64_t layer, int64_t width, int64_t ffn) {
  out.push_back(layer_weight(layer, "ffn_gate", "ffn_gate.weight", "mlp.gate_proj.weight", ffn, width));
  out.push_back(layer_weight(layer, "ffn_up", "ffn_up.weight", "mlp.up_proj.weight", ffn, width));
  out.push_back(layer_weight(layer, "ffn_down", "ffn_down.weight", "mlp.down_proj.weight", width, ffn));
}

static FeedForward block_of(const Model& model, int64_t layer, const char* gate, const char* up, const char* down) {
  return {&model.weight(layer, gate), &model.weight(layer, up), &model.weight(layer, down)};
}

static void append_expert_ffn(std::vector<WeightSpec>& out, int64_t layer, const Config& c) {
  out.push_back(layer_weight(layer, "ffn_gate_inp", "ffn_gate_inp.weight", "mlp.gate.weight", c.experts, c.width));
  if (c.router_bias) {
    out.push_back(
        layer_vector(layer, "exp_probs_b", "exp_probs_b.bias", "mlp.gate.e_score_correction_bias", c.experts));
  }
  out.push_back(expert_weight(layer, "ffn_gate_exps",
                              {{"ffn_gate_exps.weight", "mlp.experts.{e}.gate_proj.weight"},
                               {"ffn_gate_up_exps.weight", "", 2 * c.expert_ffn, 0}},
                              c.experts, c.expert_ffn, c.width));
  out.push_back(expert_weight(layer, "ffn_up_exps",
                              {{"ffn_up_exps.weight", "mlp.experts.{e}.up_proj.weight"},
                               {"ffn_gate_up_exps.weight", "", 2 * c.expert_ffn, c.expert_ffn}},
                              c.experts, c.expert_ffn, c.width));
  out.push_back(expert_weight(layer, "ffn_down_exps", {{"ffn_down_exps.weight", "mlp.experts.{e}.down_proj.weight"}},
                              c.experts, c.width, c.expert_ffn));
  if (c.shared_experts == 0) return;
  const int64_t shared = c.shared_experts * c.expert_ffn;
  out.push_back(layer_weight(layer, "ffn_gate_shexp", "ffn_gate_shexp.weight", "mlp.shared_experts.gate_proj.weight",
                             shared, c.width));
  out.push_back(
      layer_weight(layer, "ffn_up_shexp", "ffn_up_shexp.weight", "mlp.shared_experts.up_proj.weight", shared, c.width));
  out.push_back(layer_weight(layer, "ffn_down_shexp", "ffn_down_shexp.weight", "mlp.shared_experts.down_proj.weight",
                             c.width, shared));
}

static Tensor expert_ffn(Ctx& ctx, const Model& model, int64_t layer, const Tensor& x) {
  const Config& c = model.config();
  const Tensor scores = linear(ctx, x, model.weight(layer, "ffn_gate_inp"));
  const Routing routing = router(ctx, scores, model.find(layer, "exp_probs_b"), c.router);
  return experts(ctx, x, routing, block_of(model, layer, "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"),
                 c.shared_experts == 0 ? FeedForward{}
                                       : block_of(model, layer, "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp"));
}

static void append_gqa(std::vector<WeightSpec>& out, int64_t layer, const Config& c) {
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  out.push_back(layer_weight(layer, "attn_q", "attn_q.weight", "self_attn.q_proj.weight", q, c.width));
  out.push_back(layer_weight(layer, "attn_k", "attn_k.weight", "self_attn.k_proj.weight", kv, c.width));
  out.push_back(layer_weight(layer, "attn_v", "attn_v.weight", "self_attn.v_proj.weight", kv, c.width));
  out.push_back(layer_weight(layer, "attn_output", "attn_output.weight", "self_attn.o_proj.weight", c.width, q));
  if (c.qkv_bias) {
    out.push_back(layer_vector(layer, "attn_q_bias", "attn_q.bias", "self_attn.q_proj.bias", q));
    out.push_back(layer_vector(layer, "attn_k_bias", "attn_k.bias", "self_attn.k_proj.bias", kv));
    out.push_back(layer_vector(layer, "attn_v_bias", "attn_v.bias", "self_attn.v_proj.bias", kv));
  }
  if (c.head_norms) {
    out.push_back(layer_vector(layer, "attn_q_norm", "attn_q_norm.weight", "self_attn.q_norm.weight", c.head_dim));
    out.push_back(layer_vector(layer, "attn_k_norm", "attn_k_norm.weight", "self_attn.k_norm.weight", c.head_dim));
  }
}

static Tensor gqa(Ctx& ctx, const Model& model, int64_t layer, const Tensor& x) {
  const Config& c = model.config();
  const int64_t rows = x.rows();
  auto project = [&](const char* name, const char* bias, int64_t heads) {
    return reshape(ctx, linear(ctx, x, model.weight(layer, name), model.find(layer, bias)), {rows, heads, c.head_dim});
  };
  Tensor q = project("attn_q", "attn_q_bias", c.heads);
  Tensor k = project("attn_k", "attn_k_bias", c.kv_heads);
  const Tensor v = project("attn_v", "attn_v_bias", c.kv_heads);
  if (const Weight* norm = model.find(layer, "attn_q_norm")) {
    q = rms_norm(ctx, q, *norm, c.norm_epsilon);
    k = rms_norm(ctx, k, model.weight(layer, "attn_k_norm"), c.norm_epsilon);
  }
  q = rope(ctx, q, ctx.positions, rope_spec(c, 0));
  k = rope(ctx, k, ctx.positions, rope_spec(c, 0));
  const Tensor o = attention(ctx, q, k, v, c.attention_scale, static_cast<int>(2 * layer));
  return linear(ctx, reshape(ctx, o, {rows, c.heads * c.head_dim}), model.weight(layer, "attn_output"));
}

void append_feed_forward(std::vector<WeightSpec>& out, int64_t layer, const Config& c) {
  if (c.is_expert_layer(layer)) {
    append_expert_ffn(out, layer, c);
  } else {
    append_dense_ffn(out, layer, c.width, c.ffn);
  }
}

Tensor layer_feed_forward(Ctx& ctx, const Model& model, int64_t layer, const Tensor& x) {
  if (model.config().is_expert_layer(layer)) return expert_ffn(ctx, model, layer, x);
  return feed_forward(ctx, x, block_of(model, layer, "ffn_gate", "ffn_up", "ffn_down"));
}

std::vector<WeightSpec> layer_norms(const Config& c, int64_t layer) {
  return {layer_vector(layer, "attn_norm", "attn_norm.weight", "input_layernorm.weight", c.width),
          layer_vector(layer, "ffn_norm", "ffn_norm.weight", "post_attention_layernorm.weight", c.width)};
}

std::vector<WeightSpec> gqa_weights(const Config& c, int64_t layer) {
  if (layer < 0) return outer_weights(c);
  std::vector<WeightSpec> out = layer_norms(c, layer);
  append_gqa(out, layer, c);
  append_feed_forward(out, layer, c);
  return out;
}

Tensor gqa_layer(Ctx& ctx, const Model& model, int64_t layer, Tensor state) {
  return pre_norm_layer(ctx, model, layer, state, gqa, layer_feed_forward);
}

std::vector<CacheSlot> gqa_cache(const Config& c) {
  std::vector<CacheSlot> out;
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    for (const char* part : {"k", "v"}) {
      out.push_back({part + std::to_string(layer), static_cast<int32_t>(c.kv_heads * c.head_dim)});
    }
  }
  return out;
}

Tensor pre_norm_layer(Ctx& ctx, const Model& model, int64_t layer, Tensor state, SubLayer attention, SubLayer ffn) {
  const float epsilon = model.config().norm_epsilon;
  state =
      add(ctx, state, attention(ctx, model, layer, rms_norm(ctx, state, model.weight(layer, "attn_norm"), epsilon)));
  return add(ctx, state, ffn(ctx, model, layer, rms_norm(ctx, state, model.weight(layer, "ffn_norm"), epsilon)));
}

RopeSpec rope_spec(const Config& c, int64_t first) {
  return {static_cast<int32_t>(first), static_cast<int32_t>(c.rope_dims), c.rope_interleaved, c.rope_magnitude,
          c.rope_frequencies.data()};
}

}  // namespace landfall
