// A model family in one file: src/model/arch/<name>.cpp defines one Architecture as k_<name>. The table of all is made
// from the folder, and the generic tests list it unasked.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/config_reader.h"
#include "tensor/ctx.h"
#include "tensor/kv.h"

namespace landfall {

class Model;

// Where a weight's rows stand in a file. The file's tensor has, for each expert, `period` rows, of which `count` from
// `first` on are the weight's (period 0: all of them).
struct WeightPlace {
  std::string gguf;  // tensor name, empty: not in such files
  std::string hf;    // tensor name; "{e}" stands for the expert's number: one tensor per expert
  int64_t period = 0, first = 0;

  const std::string& name(ModelSource::Kind kind) const { return kind == ModelSource::Kind::gguf ? gguf : hf; }
};

struct WeightSpec {
  std::string name;                      // how the forward pass asks for it
  std::vector<WeightPlace> places;       // the first that the model's files have is taken
  int64_t experts = 1, out = 1, in = 0;  // out = 1: a vector
  bool optional = false;
};

struct Architecture {
  std::string_view name;
  std::span<const std::string_view> accepts;  // model_type and general.architecture values
  void (*parse)(ConfigReader& in, Config& out);
  // Of one layer, or of everything outside the layers for layer = -1.
  std::vector<WeightSpec> (*weights)(const Config& config, int64_t layer);
  // Cache slots of the whole model; layers count theirs with cache_slot().
  std::vector<CacheSlot> (*cache)(const Config& config);
  Tensor (*embed)(Ctx& ctx, const Model& model);                               // -> [rows, width]
  Tensor (*layer)(Ctx& ctx, const Model& model, int64_t layer, Tensor state);  // -> the same shape
  Tensor (*norm)(Ctx& ctx, const Model& model, Tensor state);   // the last one: hidden states, the same shape
  Tensor (*head)(Ctx& ctx, const Model& model, Tensor hidden);  // -> [wanted rows, vocab]
  // A layer that files may carry beside the model, to guess the token after the next from the model's hidden states and
  // the next token: an architecture of one layer, whose weights() are asked for by the number that the layer has in the
  // files, and whose embedding and output matrix are the model's. Null: this family has none.
  const Architecture* multi_token = nullptr;
  bool reads_hidden = false;  // embed() takes the hidden states of the batch too
};

// A tensor's name in a file: that of one expert (for "{e}"), and the layer in it, or -1.
std::string with_expert(const std::string& name, int64_t expert);
int64_t layer_in(const std::string& name);

std::span<const Architecture* const> arch_table();

// By model_type or general.architecture; an unknown one is an error that lists the known.
Result<const Architecture*> find_architecture(std::string_view name);

}  // namespace landfall
