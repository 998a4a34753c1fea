// Writes a model in the layout of the files that it came from, with other numbers: what training made of it. Every
// tensor of those files is written again under its name. Rows that a weight of the model was loaded from get the
// weight's numbers, which undoes what loading does: fused and stacked tensors, one tensor per expert. Rows of no weight
// (the multi-token layer, divisors of frequencies) are copied, in the type that is asked for.
#pragma once

#include <functional>
#include <string>

#include "base/thread_pool.h"
#include "model/model.h"
#include "model/tensor_file.h"

namespace landfall {

// Puts rows [first, first + count) of an expert's weight into out[count * in], in the order in which the model has
// them. Called from the threads of the pool at once; a vector is one row.
using WeightRows = std::function<void(const Weight& weight, int64_t expert, int64_t first, int64_t count, float* out)>;

// Whether a model described from this source can be written in this type: known before the work whose result is to be
// written, and before the weights are loaded.
Status check_writable(const ModelSource& source, const Model& model, const std::string& type);

// Of a Hugging Face folder: a new folder `path` with one model.safetensors, config.json without quantisation, and the
// source's files of tokenizer and generation; `type` is F32, BF16 or F16. Vectors that the source has in F32 stay so.
// Of a GGUF file, split or not: one file `path` with all of its metadata; `type` is one of gguf_type_names(), vectors
// and routers are F32.
//
// `model` is described from `source` and need not be loaded. Nothing is left after an error: a number that is not
// finite or that the type cannot hold (invalid_argument), what check_writable() refuses (a packed source has no layout
// to go back to), a file with a second form of rows that changed (unsupported), a full disk, or progress(bytes done,
// bytes of all) returning false (cancelled).
Status write_model(Env& env, ThreadPool& pool, const ModelSource& source, const Model& model, const std::string& type,
                   const WeightRows& rows, const std::string& path, const WriteProgress& progress);

}  // namespace landfall
