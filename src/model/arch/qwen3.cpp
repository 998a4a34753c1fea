// Qwen3: as Llama, with an RMS norm on each head of q and k, half-split rope. Serves R1-0528-Qwen3-8B.
#include "model/blocks.h"

namespace landfall {
namespace {

constexpr std::string_view kAccepts[] = {"qwen3"};

void parse(ConfigReader& in, Config& c) {
  in.read_common(c);
  c.head_norms = true;
  in.read_rope(c, c.head_dim);
  if (in.boolean("", "use_sliding_window", false))
    in.fail(Code::unsupported, "sliding-window attention is not supported");
}

}  // namespace

extern const Architecture k_qwen3;
const Architecture k_qwen3 = {"qwen3",      kAccepts,  parse,      gqa_weights, gqa_cache,
                              embed_tokens, gqa_layer, final_norm, final_logits};

}  // namespace landfall
