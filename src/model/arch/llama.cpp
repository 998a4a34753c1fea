// Llama: grouped-query attention, SwiGLU. Serves DeepSeek LLM and Coder, R1-Distill-Llama and SmolLM2. GGUF files carry
// q and k rows permuted for interleaved rope; Hugging Face files are half-split.
#include "model/blocks.h"

namespace landfall {
namespace {

constexpr std::string_view kAccepts[] = {"llama"};

void parse(ConfigReader& in, Config& c) {
  in.read_common(c);
  c.rope_interleaved = in.gguf();
  in.read_rope(c, in.integer("rope.dimension_count", "", 2, 1 << 14, c.head_dim));
  c.qkv_bias = in.boolean("", "attention_bias", false);
  if (c.qkv_bias || in.boolean("", "mlp_bias", false))
    in.fail(Code::unsupported, "biases in a llama model are not supported");
}

}  // namespace

extern const Architecture k_llama;
const Architecture k_llama = {"llama",      kAccepts,  parse,      gqa_weights, gqa_cache,
                              embed_tokens, gqa_layer, final_norm, final_logits};

}  // namespace landfall
