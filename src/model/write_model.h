// Writes a model as files that other programs read, with its own numbers or others: what training made of it.
//
// In the layout of the files that it came from every tensor of those is written again under its name. Rows that a
// weight of the model was loaded from get the weight's numbers, which undoes what loading does: fused and stacked
// tensors, one tensor per expert. Rows of no weight (the multi-token layer, divisors of frequencies) are copied, in the
// type that is asked for. In the other layout the weights alone are written, with a configuration and a tokenizer that
// say the same in its words (model/other_layout.h).
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

// Those of the model itself, which is loaded.
WeightRows own_rows();

struct WriteAs {
  ModelSource::Kind layout;
  std::string type;
};

// Whether a model described from this source can be written so: known before the work whose result is to be written,
// and before the weights are loaded.
Status check_writable(const ModelSource& source, const Model& model, const WriteAs& as);

// Whether files of the source, under whatever name, would go with what is written to `path` (invalid_argument).
Status check_target(Env& env, const ModelSource& source, const std::string& path);

// As a Hugging Face folder: a new folder `path` with one model.safetensors, config.json without quantisation, and the
// source's files of tokenizer and generation; the type is F32, BF16 or F16. Vectors that the source has in F32 stay so,
// and those of a GGUF file are. As GGUF: one file `path` with all metadata of a source that is GGUF, split or not; the
// type is one of gguf_type_names(), vectors and routers are F32.
//
// `model` is described from `source` and need not be loaded. Nothing is left after an error: a number that is not
// finite or that the type cannot hold (invalid_argument), what check_writable() refuses (a packed source has no layout
// to go back to), a file with a second form of rows that changed (unsupported), a full disk, or progress(bytes done,
// bytes of all) returning false (cancelled).
Status write_model(Env& env, ThreadPool& pool, const ModelSource& source, const Model& model, const WriteAs& as,
                   const WeightRows& rows, const std::string& path, const WriteProgress& progress);

}  // namespace landfall
