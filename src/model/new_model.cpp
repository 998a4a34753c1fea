#include "model/new_model.h"

#include <cmath>
#include <cstring>

#include "base/counter_random.h"
#include "model/gguf_writer.h"
#include "model/random_model.h"
#include "model/tokenizer/write_tokenizer.h"

namespace landfall {
namespace {

// Small vocabularies of small models: 4096 tokens keep embedding and output matrix below a third of all weights. Two of
// eight experts and a shared one give three times the feed-forward numbers that a token pays for. Heads of 32 + 16
// columns and a latent row of 64 + 16 are V3's proportions of width, made multiples of the kernels' 16 lanes. Queries
// are of low rank too, as V3's: other engines know the architecture without it as V2-Lite alone.
constexpr ModelShape kNewShapes[] = {{.name = "tide-5m",
                                      .architecture = "deepseek2",
                                      .width = 192,
                                      .layers = 6,
                                      .heads = 4,
                                      .kv_heads = 4,
                                      .ffn = 512,
                                      .context = 512,
                                      .q_lora = 96,
                                      .kv_lora = 64,
                                      .nope = 32,
                                      .rope = 16,
                                      .value = 32,
                                      .experts = 8,
                                      .experts_used = 2,
                                      .shared_experts = 1,
                                      .expert_ffn = 112,
                                      .dense_layers = 1,
                                      .sigmoid_gate = true},
                                     {.name = "tide-15m",
                                      .architecture = "deepseek2",
                                      .width = 320,
                                      .layers = 8,
                                      .heads = 5,
                                      .kv_heads = 5,
                                      .ffn = 864,
                                      .context = 512,
                                      .q_lora = 160,
                                      .kv_lora = 96,
                                      .nope = 48,
                                      .rope = 16,
                                      .value = 64,
                                      .experts = 8,
                                      .experts_used = 2,
                                      .shared_experts = 1,
                                      .expert_ffn = 160,
                                      .dense_layers = 1,
                                      .sigmoid_gate = true}};

// Initial weights are normal. A matrix keeps the size of what it reads (deviation 1 / sqrt(columns)); what is added to
// the residual stream is smaller by the number of additions, so that their sum stays as large as one (Radford et al.,
// "Language Models are Unsupervised Multitask Learners", 2019, section 2.3). The first logits are small: a loss of
// log(vocabulary).
double deviation(std::string_view name, int64_t columns, int64_t layers) {
  if (name == "token_embd.weight") return 0.1;
  if (name == "output.weight") return 0.02;
  const double unit = 1 / std::sqrt(static_cast<double>(columns));
  const bool adds = name.ends_with("attn_output.weight") || name.find("ffn_down") != std::string_view::npos;
  return adds ? unit / std::sqrt(2.0 * static_cast<double>(layers)) : unit;
}

}  // namespace

Result<ModelShape> new_model_shape(std::string_view name, const TokenizerSpec& tokenizer) {
  std::string known;
  for (const ModelShape& shape : kNewShapes) {
    known += (known.empty() ? "" : ", ") + std::string(shape.name);
    if (shape.name != name) continue;
    ModelShape out = shape;
    out.vocab = static_cast<int64_t>(tokenizer.tokens.size());
    return out;
  }
  return Status(Code::invalid_argument, "no new model is called '" + std::string(name) + "'; there are: " + known);
}

Status write_new_model(Env& env, const ModelShape& shape, const TokenizerSpec& tokenizer, uint64_t seed,
                       const std::string& path) {
  LANDFALL_CHECK(shape.kv_lora > 0 && shape.vocab == static_cast<int64_t>(tokenizer.tokens.size()));
  // One attn_kv_b tensor: the key matrix as projected, which is what training changes.
  LANDFALL_ASSIGN(const auto tensors, random_model_tensors({.shape = shape, .type = "F32", .fused = true}));
  Json metadata = shape_metadata(shape, true);
  metadata.set("general.name", shape.name).set("general.file_type", 0);
  add_tokenizer_metadata(metadata, tokenizer);
  const FillRows fill = [&](size_t tensor, int64_t first, int64_t count, std::span<std::byte> out) -> Status {
    const OutputTensor& t = tensors[tensor];
    const int64_t columns = t.columns();
    const CounterRandom random(seed, tensor);
    const double scale = deviation(t.name, columns, shape.layers);
    std::vector<float> numbers(static_cast<size_t>(count * columns));
    for (int64_t i = 0; i < count * columns; ++i) {
      float& v = numbers[static_cast<size_t>(i)];
      if (t.shape.size() == 1)
        v = t.name.ends_with(".bias") ? 0.0f : 1.0f;  // selection biases and norms
      else
        v = static_cast<float>(scale * random.normal(static_cast<uint64_t>(first * columns + i)));
    }
    std::memcpy(out.data(), numbers.data(), out.size());
    return {};
  };
  return write_gguf(env, path, encode_metadata(metadata), tensors, fill, [](uint64_t, uint64_t) { return true; });
}

}  // namespace landfall
