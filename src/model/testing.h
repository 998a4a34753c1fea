// For tests: the tiny models of tests/golden/models, written as Hugging Face folders from their seed (see the README
// there for the rule).
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "base/testing.h"
#include "model/adapter.h"
#include "model/model.h"
#include "tensor/operator.h"

namespace landfall {

struct Golden {
  std::string variant;
  Json info;                    // golden.json
  Json config;                  // config.json
  std::vector<int32_t> tokens;  // prompt followed by the greedy answer
  int64_t prompt = 0;           // how many of them are the prompt
  int64_t vocab = 0;
  std::vector<float> logits;       // [tokens, vocab]
  std::vector<float> multi_token;  // [tokens - 1, vocab], row i of token i + 2; empty: no such layer
  double tolerance = 0;
};

inline const std::string kGoldenModels = "tests/golden/models", kGoldenTokenizers = "tests/golden/tokenizer/";

std::vector<std::string> golden_variants();

// Names the cases of a test that has a variant as its parameter.
inline std::string variant_name(const testing::TestParamInfo<std::string>& variant) { return variant.param; }

Json read_json_file(const std::string& path);

Golden read_golden(const std::string& variant);

// JSON merge patch, RFC 7396.
Json merge_patch(const Json& target, const Json& patch);

// The bytes of one of golden.json's tensors; see the README beside the models for the rule.
std::string golden_tensor_bytes(const Json& tensor, uint64_t seed);

// `how`: an entry of golden.json's features, or null for the model as it is. Returns the folder.
std::string write_golden_model(const Golden& golden, const Json& how);

// A golden model made wider: 256 byte tokens and two special ones, with a tokenizer and a chat template. Another seed
// is another model. Returns the folder.
std::string write_text_model(const std::string& variant, int64_t more_seed = 0, const char* end = "<|end|>");

// Of all linear maps that take one, with numbers that move the logits; alpha / rank is 6 / rank.
Adapter adapter_of(const Model& model, int64_t rank, uint64_t seed = 1);

// A GGUF file of a published family (model/model_shapes.h) in two small layers, with random weights of a type.
constexpr int32_t kSmallVocab = 1100;
std::string write_small_model(std::string_view family, const std::string& type);

struct LoadedModel {
  ModelSource source;
  Model model;
};

LoadedModel load_for_test(const std::string& path);

// The multi-token layer beside its loaded model.
Model load_multi_token_for_test(const ModelSource& source, const Model& model);

// Logits of each token, read at once with exact activations. `hidden`: of another model, for one that reads them;
// `hidden_out`: the model's own.
std::vector<float> all_logits(const Model& model, std::span<const int32_t> tokens, KernelSet set,
                              std::span<const float> hidden = {}, std::vector<float>* hidden_out = nullptr,
                              const Overlay* overlay = nullptr);

// As golden.multi_token has them.
std::vector<float> multi_token_logits(const LoadedModel& loaded, const std::vector<int32_t>& tokens, KernelSet set);

// The largest over rows of max |a - b| / max |b|.
double largest_difference(const std::vector<float>& a, const std::vector<float>& b, int64_t vocab);

}  // namespace landfall
