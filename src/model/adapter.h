// Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) as PEFT keeps them: a folder with adapter_config.json and
// adapter_model.safetensors, whose tensors base_model.model.<module>.lora_A.weight [rank, in] and ...lora_B.weight
// [out, rank] add (alpha / rank) B A to the matrix of a module. Modules have the names of Hugging Face folders whatever
// file the base model came from, and rows their order there: GGUF files of some families have rows of queries and keys
// in another, which is undone and done here. Source: PEFT's save_pretrained() and LoraConfig.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"
#include "model/model.h"

namespace landfall {

// What one matrix gets.
struct AdapterPart {
  uint32_t weight = 0;   // id in the model
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [out, rank], rows in the order of the model's; the scale is not part of it
};

struct Adapter {
  int64_t rank = 0;
  double alpha = 0;
  std::string base;  // where the model is that it was made for, as its author wrote it
  std::vector<AdapterPart> parts;

  double scale() const { return alpha / static_cast<double>(rank); }
};

// Whether a weight can have such an addition: the linear maps of the layers but the router. Routed experts and the
// key-value matrix of latent attention are none.
bool takes_adapter(const Model& model, const Weight& weight);

// Writes a new folder. Parts are of weights that take one, and of the sizes that these say (else an abort). A number
// that is not finite is an error (invalid_argument), after which, as after a full disk, nothing is left.
Status write_adapter(Env& env, const std::string& folder, const Model& model, const Adapter& adapter);

// Reads an adapter of this model, which need not be loaded, with numbers in F32, F16 or BF16. Parts are in order of
// weights. Kinds of additions that are not read (DoRA, ranks of single modules, trained biases or whole modules ...)
// are unsupported; a module that the model does not have, or another size, is an error that names it and both sizes.
Result<Adapter> read_adapter(Env& env, const std::string& folder, const Model& model);

}  // namespace landfall
