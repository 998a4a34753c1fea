// DeepSeekMoE 16B: multi-head attention and fine-grained experts with a softmax gate (arXiv 2401.06066). GGUF files
// carry q and k rows permuted for interleaved rope; Hugging Face files are half-split.
#include "model/blocks.h"

namespace landfall {
namespace {

constexpr std::string_view kAccepts[] = {"deepseek"};

void parse(ConfigReader& in, Config& c) {
  in.read_common(c);
  c.rope_interleaved = in.gguf();
  in.read_rope(c, in.integer("rope.dimension_count", "", 2, 1 << 14, c.head_dim));
  c.experts = in.integer("expert_count", "n_routed_experts", 1, 4096);
  c.shared_experts = in.integer("expert_shared_count", "n_shared_experts", 0, 64, 0);
  c.expert_ffn = in.integer("expert_feed_forward_length", "moe_intermediate_size", 2, 1 << 20);
  c.dense_layers = in.integer("leading_dense_block_count", "first_k_dense_replace", 0, 1024, 0);
  c.router.experts_per_row = static_cast<int32_t>(in.integer("expert_used_count", "num_experts_per_tok", 1, c.experts));
  c.router.normalise = in.boolean("expert_weights_norm", "norm_topk_prob", false);
  c.router.scale = static_cast<float>(in.number("expert_weights_scale", "", 1.0));
  if (in.integer("", "moe_layer_freq", 1, 1024, 1) != 1)
    in.fail(Code::unsupported, "moe_layer_freq other than 1 is not supported");
}

}  // namespace

extern const Architecture k_deepseek;
const Architecture k_deepseek = {"deepseek",   kAccepts,  parse,      gqa_weights, gqa_cache,
                                 embed_tokens, gqa_layer, final_norm, final_logits};

}  // namespace landfall
