// The operators, as model code calls them. Shapes: R rows of the batch, D width, H query heads, G key-value heads,
// E experts, K experts chosen per row. Outputs live in the Ctx's arena. Shapes are checked with CHECK: a mismatch is a
// defect of the architecture, since the loader has compared every weight with its specification.
#pragma once

#include <span>

#include "tensor/ctx.h"

namespace landfall {

// rows of `table` [vocab, D] named by ids [R] -> [R, D]
Tensor embedding(Ctx& ctx, const Tensor& ids, const Weight& table);

// x [R, in] -> [R, out]; y = x Wᵀ + bias. `bias`: a [1, out] weight or null.
Tensor linear(Ctx& ctx, const Tensor& x, const Weight& weight, const Weight* bias = nullptr);

// Per head: x [R, H, in] or, shared by all heads, [R, in]; weight has H experts -> [R, H, out].
// Transposed: x [R, H, out] or [R, out] -> [R, H, in], with Wᵀ.
Tensor head_linear(Ctx& ctx, const Tensor& x, const Weight& weight, bool transposed = false);

// x [R, D] or [R, K, D], ids [R, K] -> [R, K, out]: row (r, k) through expert ids[r, k].
Tensor expert_linear(Ctx& ctx, const Tensor& x, const Tensor& ids, const Weight& weight);

// x [..., D] normalised over the last axis: x / sqrt(mean(x²) + eps) * weight. Zhang & Sennrich 2019.
Tensor rms_norm(Ctx& ctx, const Tensor& x, const Weight& weight, float epsilon);

// Rotary embedding (Su et al. 2021) of the last axis of x [R, H, d]: elements [first, first + dims) are rotated by
// position times inverse_frequency (dims/2 numbers that outlive the step); cos and sin are multiplied by `magnitude`.
// interleaved: pairs (2i, 2i+1); else pairs (i, i + dims/2).
struct RopeSpec {
  int32_t first = 0;
  int32_t dims = 0;
  bool interleaved = false;
  float magnitude = 1.0f;
  const float* inverse_frequency = nullptr;
};
Tensor rope(Ctx& ctx, const Tensor& x, const Tensor& positions, const RopeSpec& spec);

// Causal grouped-query attention: q [R, H, d], k [R, G, d], v [R, G, dv] -> [R, H, dv].
// With a cache, k and v rows are first stored in slots `slot` (width G d) and slot + 1 (width G dv).
Tensor attention(Ctx& ctx, const Tensor& q, const Tensor& k, const Tensor& v, float scale, int slot);

// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434). q [R, H, nope + rope] with the rotary part last and
// rotated, latent [R, lora] normalised, key_rope [R, rope] rotated; value_up has H experts [v, lora]; the key matrix is
// either key_up, H experts [nope, lora], or key_absorb, H experts [lora, nope] (its transpose): exactly one is given.
// -> [R, H, v]. With a cache, rows [latent | key_rope] are stored in slot `slot` (width lora + rope).
Tensor latent_attention(Ctx& ctx, const Tensor& q, const Tensor& latent, const Tensor& key_rope, const Weight* key_up,
                        const Weight* key_absorb, const Weight& value_up, float scale, int slot);

// silu(gate) * up, element by element. Shazeer 2020.
Tensor swiglu(Ctx& ctx, const Tensor& gate, const Tensor& up);

// Routing of DeepSeekMoE (arXiv 2401.06066, 2405.04434, 2412.19437). scores [R, E] are the router's raw products.
struct RouterSpec {
  enum class Gate : uint8_t { softmax, sigmoid };
  Gate gate = Gate::softmax;
  int32_t experts_per_row = 1;  // K
  int32_t groups = 1;           // experts are cut into this many equal runs
  int32_t groups_kept = 1;      // of which the best are kept; softmax: group score = best, sigmoid: sum of the two best
  bool normalise = false;       // divide the chosen weights by their sum
  float scale = 1.0f;
};
struct Routing {
  Tensor ids;      // [R, K] i32, ascending, so that every reader adds experts in one order; ties go to the lower index
  Tensor weights;  // [R, K]
};
// bias [1, E] or null: added to the sigmoid scores for the choice only.
Routing router(Ctx& ctx, const Tensor& scores, const Weight* bias, const RouterSpec& spec);

// Of each run of the batch, how unevenly its rows use the experts: 1 when all experts are chosen equally often or
// scored alike, up to E when one gets all. scores [R, E] as the router's, ids [R, K] as it chose -> [runs]. For
// training.
Tensor balance_loss(Ctx& ctx, const Tensor& scores, const Tensor& ids, RouterSpec::Gate gate);

// sum over k of weights[r, k] * x[r, k, :], in order of k: x [R, K, D], weights [R, K] -> [R, D]
Tensor combine(Ctx& ctx, const Tensor& x, const Tensor& weights);

// A feed-forward block: down(swiglu(gate(x), up(x))). gate, up [E, F, D], down [E, D, F].
struct FeedForward {
  const Weight *gate = nullptr, *up = nullptr, *down = nullptr;
};
Tensor feed_forward(Ctx& ctx, const Tensor& x, const FeedForward& weights);

// Grouped experts: the feed-forward blocks of the chosen experts, weighted and added. x [R, D] -> [R, D]. `shared`,
// where it has weights, is one more block that every row goes through with weight 1.
Tensor experts(Ctx& ctx, const Tensor& x, const Routing& routing, const FeedForward& weights,
               const FeedForward& shared = {});

Tensor softmax(Ctx& ctx, const Tensor& x);  // over the last axis
Tensor add(Ctx& ctx, const Tensor& a, const Tensor& b);

// Final product of the rows named by rows [n] -> [n, vocab]
Tensor logits(Ctx& ctx, const Tensor& x, const Tensor& rows, const Weight& weight);

// -log softmax(x)[target] of each row: x [n, vocab], targets [n] i32 within the vocabulary -> [n].
Tensor cross_entropy(Ctx& ctx, const Tensor& x, const Tensor& targets);

// Of each row, the Kullback-Leibler divergence of softmax(x / temperature) from softmax(teacher / temperature), in
// nats: what a student loses who believes x where the teacher is right. Both [n, vocab] -> [n]. Hinton et al., arXiv
// 1503.02531, who multiply it by the temperature squared.
Tensor kl_divergence(Ctx& ctx, const Tensor& x, const Tensor& teacher, double temperature = 1);

// Views: no data moves.
Tensor reshape(Ctx& ctx, const Tensor& x, std::initializer_list<int64_t> shape);  // x dense
Tensor slice(Ctx& ctx, const Tensor& x, int64_t first, int64_t count);            // of the last axis

// [..., a] and [..., b] -> [..., a + b]; b [R, b] is repeated for each head when a is [R, H, a]
Tensor concat(Ctx& ctx, const Tensor& a, const Tensor& b);

}  // namespace landfall
