// Parts that several families share. Model code: it calls operators and never touches data.
#pragma once

#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/model.h"
#include "tensor/ops.h"

namespace landfall {

// Weight names of layer N in both kinds of file: "blk.N." and "model.layers.N.".
WeightSpec layer_weight(int64_t layer, std::string name, std::string gguf, std::string hf, int64_t out, int64_t in,
                        bool optional = false);
// A vector (norm or bias).
WeightSpec layer_vector(int64_t layer, std::string name, std::string gguf, std::string hf, int64_t n,
                        bool optional = false);
// One matrix per expert.
WeightSpec expert_weight(int64_t layer, std::string name, std::vector<WeightPlace> places, int64_t experts, int64_t out,
                         int64_t in);

// Embedding, final norm and output matrix.
std::vector<WeightSpec> outer_weights(const Config& config);
Tensor embed_tokens(Ctx& ctx, const Model& model);
Tensor final_norm(Ctx& ctx, const Model& model, Tensor state);
Tensor final_logits(Ctx& ctx, const Model& model, Tensor hidden);

// The feed-forward part of a layer: experts or dense, as the configuration says for this layer.
void append_feed_forward(std::vector<WeightSpec>& out, int64_t layer, const Config& config);
Tensor layer_feed_forward(Ctx& ctx, const Model& model, int64_t layer, const Tensor& x);

// The two norms of a pre-norm layer.
std::vector<WeightSpec> layer_norms(const Config& config, int64_t layer);

// Families whose layers are grouped-query attention (with biases or head norms where the configuration says so) and a
// feed-forward part: all of their weights (outer ones for layer -1), cache and layer.
std::vector<WeightSpec> gqa_weights(const Config& config, int64_t layer);
std::vector<CacheSlot> gqa_cache(const Config& config);
Tensor gqa_layer(Ctx& ctx, const Model& model, int64_t layer, Tensor state);

// A pre-norm transformer layer: state + attention(norm(state)), then + ffn(norm(state)).
using SubLayer = Tensor (*)(Ctx& ctx, const Model& model, int64_t layer, const Tensor& x);
Tensor pre_norm_layer(Ctx& ctx, const Model& model, int64_t layer, Tensor state, SubLayer attention, SubLayer ffn);

RopeSpec rope_spec(const Config& config, int64_t first);

}  // namespace landfall
