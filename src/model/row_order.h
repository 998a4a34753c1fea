// The order of rows in matrices of queries and keys. GGUF files of families with half-split rope have them permuted, so
// that interleaved rope does the same: row 2j + s of a head is row s * dim / 2 + j in Hugging Face folders. Such
// families are interleaved for this reason alone; latent attention is so everywhere.
#pragma once

#include "model/model.h"

namespace landfall {

bool is_permuted(const Model& model, const Weight& weight);

// The row in Hugging Face's order of a row of a permuted weight, and the reverse.
int64_t half_split_row(const Model& model, int64_t row);
int64_t interleaved_row(const Model& model, int64_t row);

}  // namespace landfall
