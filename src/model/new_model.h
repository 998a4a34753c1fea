// A model that has learned nothing yet: a GGUF file of initial weights in f32 with its tokenizer, which training begins
// with like any other. It has DeepSeek-V3's architecture: latent attention, a first dense layer, then routed experts
// beside a shared one, chosen by a sigmoid gate with a selection bias (arXiv 2412.19437, section 2.1).
#pragma once

#include <cstdint>
#include <string>

#include "base/env.h"
#include "base/result.h"
#include "model/model_shapes.h"
#include "model/tokenizer/tokenizer_spec.h"

namespace landfall {

// The house's own shapes, "tide-5m" and "tide-15m"; the vocabulary is the tokenizer's. An unknown name is an error that
// lists the known.
Result<ModelShape> new_model_shape(std::string_view name, const TokenizerSpec& tokenizer);

// Of latent attention; tokenizer.pre names rules. The same shape, tokenizer and seed give the same bytes. The file
// appears when it is whole.
Status write_new_model(Env& env, const ModelShape& shape, const TokenizerSpec& tokenizer, uint64_t seed,
                       const std::string& path);

}  // namespace landfall
