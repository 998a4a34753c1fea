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
#include "model/gguf_writer.h"
#include "model/model_shapes.h"

namespace landfall {

struct RandomModel {
  ModelShape shape;
  std::string type = "Q4_0";  // of random_model_types()
  uint64_t seed = 1;
  bool fused = false;  // latent attention with one attn_kv_b tensor, as in older files
  bool zipf = false;   // the r-th most popular expert is chosen in proportion to 1 / r, instead of all alike
};

// "F16, Q8_0, ...": names as people know them from file names. A type is a mix where the usual file of that name is
// one: the output matrix finer, Q4_K_M half of the value and down matrices too, MXFP4 for experts only.
std::string random_model_types();

// The tensors of the file, as the model's architecture asks for them.
Result<std::vector<GgufTensor>> random_model_tensors(const RandomModel& what);

// The same shape, type and seed give the same bytes on every machine. Progress, cancelling and the partial file
// as in write_gguf.
Status write_random_model(Env& env, ThreadPool& pool, const RandomModel& what, const std::string& path,
                          const std::function<bool(uint64_t, uint64_t)>& progress);

}  // namespace landfall
