// A tokenizer in the forms in which models carry one: the files of a Hugging Face folder, which the published
// `tokenizers` library reads too, and the metadata of a GGUF file. Pure functions.
#pragma once

#include "base/json.h"
#include "model/tokenizer/tokenizer_spec.h"

namespace landfall {

// spec.pre names rules (pre_tokenizer.h), spec.types is as long as spec.tokens, and ids are of tokens or -1, for all
// three.
Json tokenizer_json(const TokenizerSpec& spec);
Json tokenizer_config_json(const TokenizerSpec& spec);
// Adds the tokenizer.ggml.* keys.
void add_tokenizer_metadata(Json& metadata, const TokenizerSpec& spec);

}  // namespace landfall
