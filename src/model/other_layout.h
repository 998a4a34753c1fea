// A model as the files of the other layout describe it: GGUF for one from a Hugging Face folder, and the reverse. What
// write_model() writes when that layout is asked for.
#pragma once

#include <optional>
#include <vector>

#include "model/model.h"

namespace landfall {

struct OtherLayout {
  ModelSource source;  // config.json or GGUF metadata, and tensors in F32 without data but for divisors of frequencies
  Model model;         // described from it: the weights of the model that it is of, by layer and name
  std::optional<TokenizerSpec> tokenizer;  // with a pre-tokenizer by name and, for GGUF, a token for every row
  std::vector<float> divisors;             // what a tensor of `source` points to
};

// The multi-token layer stays out. Unsupported: what the other layout has no words for, which is found by reading the
// description and comparing; a pre-tokenizer that GGUF has no name for; a key matrix that is transposed per head.
Result<OtherLayout> describe_in(ModelSource::Kind kind, const ModelSource& source, const Model& model);

}  // namespace landfall
