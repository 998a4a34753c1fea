// GGUF files of random weights at the true shape of a model: as large and as fast as the real one, on every engine that
// reads such files, without a download. What such a model says is noise, but it computes with sane numbers: the
// embedding stays the largest part of the residual stream, so experts are chosen anew for every token, and logits have
// a standard deviation near 1.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/thread_pool.h"
#include "model/gguf_types.h"
#include "model/model_shapes.h"
#include "model/tensor_file.h"

namespace landfall {

struct RandomModel {
  ModelShape shape;
  std::string type = "Q4_0";  // of gguf_type_names()
  uint64_t seed = 1;
  bool fused = false;  // latent attention with one attn_kv_b tensor, as in older files
  bool zipf = false;   // the r-th most popular expert is chosen in proportion to 1 / r, instead of all alike
};

// The tensors of the file, as the model's architecture asks for them.
Result<std::vector<OutputTensor>> random_model_tensors(const RandomModel& what);

// The same shape, type and seed give the same bytes on every machine. Progress, cancelling and the partial file
// as in write_gguf.
Status write_random_model(Env& env, ThreadPool& pool, const RandomModel& what, const std::string& path,
                          const std::function<bool(uint64_t, uint64_t)>& progress);

}  // namespace landfall
