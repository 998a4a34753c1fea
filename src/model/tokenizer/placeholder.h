// A byte-level vocabulary of any size for files of random weights, so that programs which want a tokenizer find one:
// the bytes, frequent pairs of letters, names for the rest, and the two control tokens at the end.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/json.h"

namespace landfall {

// Adds the tokenizer.ggml.* metadata. vocab: 1024 or more.
void add_placeholder_tokenizer(Json& metadata, int64_t vocab, std::string_view pre_tokenizer);

}  // namespace landfall
