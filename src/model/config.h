// What an architecture's forward pass needs to know about a model, in one shape for every family. Numbers that a family
// does not have stay at their defaults. Filled and checked by the architecture's parse function.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/ops.h"

namespace landfall {

struct Config {
  int64_t width = 0;  // D
  int64_t layers = 0;
  int64_t vocab = 0;
  int64_t context = 0;  // positions the model was made for
  float norm_epsilon = 1e-6f;
  bool tied = false;  // the embedding is the output matrix too

  int64_t heads = 0, kv_heads = 0;
  int64_t head_dim = 0;  // of keys and queries
  int64_t ffn = 0;       // of dense layers
  float attention_scale = 0;
  bool qkv_bias = false;
  bool head_norms = false;  // RMS norms on each head of q and k

  // Rotary embedding: `rope` refers to rope_frequencies, which must not change after parse().
  int64_t rope_dims = 0;
  bool rope_interleaved = false;
  float rope_magnitude = 1.0f;
  std::vector<float> rope_frequencies;
  struct RopeScaling {  // what the files say of it, to be said again in others
    double base = 1e4;
    std::string type;  // "linear", "yarn", "llama3" or ""; GGUF's divisors are not told apart from ""
    double factor = 1, original_context = 0;
    double beta_fast = 32, beta_slow = 1;
    double yarn_log_multiplier = 0;  // a tenth of mscale_all_dim
  } rope_scaling;

  // Latent attention: kv_lora > 0.
  int64_t q_lora = 0, kv_lora = 0, nope = 0, value_dim = 0;
  bool key_absorbed = false;  // the files hold the key matrix transposed per head (GGUF's k_b) and not as projected

  // Experts: experts > 0.
  int64_t experts = 0, shared_experts = 0, expert_ffn = 0, dense_layers = 0;
  RouterSpec router;
  bool router_bias = false;

  int64_t multi_token_layers = 0;  // that the files count

  bool is_expert_layer(int64_t layer) const { return experts > 0 && layer >= dense_layers; }
};

}  // namespace landfall
