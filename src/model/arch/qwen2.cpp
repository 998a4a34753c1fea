// Qwen2: as Llama, with biases on q, k and v and half-split rope in every kind of file. Serves R1-Distill-Qwen.
#include "model/blocks.h"

namespace landfall {
namespace {

constexpr std::string_view kAccepts[] = {"qwen2"};

void parse(ConfigReader& in, Config& c) {
  in.read_common(c);
  c.qkv_bias = true;
  in.read_rope(c, c.head_dim);
  if (in.boolean("", "use_sliding_window", false))
    in.fail(Code::unsupported, "sliding-window attention is not supported");
}

}  // namespace

extern const Architecture k_qwen2;
const Architecture k_qwen2 = {"qwen2",      kAccepts,  parse,      gqa_weights, gqa_cache,
                              embed_tokens, gqa_layer, final_norm, final_logits};

}  // namespace landfall
