#include "model/other_layout.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "model/rope_scaling.h"
#include "model/shape_tensors.h"
#include "model/tokenizer/tokenizer.h"

namespace landfall {
namespace {

constexpr std::string_view layout_name(ModelSource::Kind kind) {
  return kind == ModelSource::Kind::gguf ? "a GGUF file" : "a Hugging Face folder";
}

Status no_words(ModelSource::Kind kind, const std::string& what) {
  return Status(Code::unsupported, std::string(layout_name(kind)) + " cannot say " + what + " of this model");
}

// Llama 3.1's scaling from what it makes of the frequencies (rope_scaling.h): the lowest are divided by the factor, and
// one on the smooth step between says where that lies.
void read_llama3(const Config& c, ModelShape& out) {
  const std::vector<float> plain = plain_frequencies(c.rope_dims, c.rope_scaling.base);
  out.rope_scaling = "llama3";
  out.rope_original = 8192;
  out.rope_factor = std::round(64.0 * plain.back() / c.rope_frequencies.back()) / 64.0;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double kept = double{c.rope_frequencies[i]} / plain[i], least = 1 / out.rope_factor;
    if (kept > least * 1.01 && kept < 0.99) {
      const double smooth = (kept - least) / (1 - least), wavelength = 2 * M_PI / plain[i];
      out.rope_original = std::llround(wavelength * (1 + 3 * smooth));
      return;
    }
  }
}

Result<ModelShape> shape_of(ModelSource::Kind kind, const ModelSource& source, const Model& model) {
  const Config& c = model.config();
  ModelShape out = {.name = "",
                    .architecture = model.architecture().name,
                    .pre_tokenizer = "",
                    .width = c.width,
                    .layers = c.layers,
                    .heads = c.heads,
                    .kv_heads = c.kv_heads,
                    .ffn = c.ffn,
                    .vocab = c.vocab,
                    .context = c.context};
  out.epsilon = std::round(double{c.norm_epsilon} * 1e12) / 1e12;
  out.tied = c.tied;
  out.rope_base = c.rope_scaling.base;
  const Config::RopeScaling& scaling = c.rope_scaling;
  if (source.kind == ModelSource::Kind::gguf && source.find("rope_freqs.weight")) {
    if (!scaling.type.empty()) return no_words(kind, "two scalings of the rotary embedding");
    read_llama3(c, out);
  } else {
    for (const std::string_view known : {"linear", "yarn", "llama3"})
      if (scaling.type == known) out.rope_scaling = known;
    out.rope_factor = scaling.factor;
    out.rope_original = std::llround(scaling.original_context);
    out.yarn_log_multiplier = scaling.yarn_log_multiplier;
    out.yarn_beta_fast = scaling.beta_fast;
    out.yarn_beta_slow = scaling.beta_slow;
    if (scaling.type == "yarn" && c.kv_lora == 0)
      out.yarn_attention_factor = std::round(1e6 * c.rope_magnitude / yarn_temperature(scaling.factor, 1)) / 1e6;
  }
  if (c.kv_lora > 0) {
    out.q_lora = c.q_lora;
    out.kv_lora = c.kv_lora;
    out.nope = c.nope;
    out.rope = c.rope_dims;
    out.value = c.value_dim;
  } else {
    out.head_dim = c.head_dim;
  }
  if (c.experts > 0) {
    out.experts = c.experts;
    out.experts_used = c.router.experts_per_row;
    out.shared_experts = c.shared_experts;
    out.expert_ffn = c.expert_ffn;
    out.dense_layers = c.dense_layers;
    out.groups = c.router.groups;
    out.groups_kept = c.router.groups_kept;
    out.sigmoid_gate = c.router.gate == RouterSpec::Gate::sigmoid;
    out.expert_scale = std::round(double{c.router.scale} * 1e6) / 1e6;
  }
  return out;
}

// What our own readers would accept and others would not, or would take for something else: llama.cpp looks for
// divisors of frequencies in Llamas alone, for YaRN's multiplier with latent attention alone and there scales by it
// always, and wants groups to choose from.
Status check_readers(ModelSource::Kind kind, const ModelShape& s) {
  if (kind == ModelSource::Kind::hugging_face) return {};
  const bool latent = s.kv_lora > 0, yarn = s.rope_scaling == "yarn";
  if (s.rope_scaling == "llama3" && s.architecture != "llama")
    return no_words(kind, "Llama 3's scaling of the rotary embedding");
  if (yarn && latent != (s.yarn_log_multiplier > 0)) return no_words(kind, "the rotary embedding's scaling");
  if (s.groups > 1 && s.groups_kept == s.groups) return no_words(kind, "that no group of experts is left out");
  return {};
}

bool near(double a, double b) { return std::abs(a - b) <= 2e-6 * std::max(std::abs(a), std::abs(b)); }

// Whether a description says what the model is.
Status compare(ModelSource::Kind kind, const Config& a, const Config& b) {
  const std::pair<const char*, bool> said[] = {
      {"the sizes", a.width == b.width && a.layers == b.layers && a.vocab == b.vocab && a.context == b.context &&
                        a.heads == b.heads && a.kv_heads == b.kv_heads && a.head_dim == b.head_dim && a.ffn == b.ffn &&
                        a.tied == b.tied},
      {"the norm's epsilon", near(a.norm_epsilon, b.norm_epsilon)},
      {"the biases and head norms", a.qkv_bias == b.qkv_bias && a.head_norms == b.head_norms},
      {"the latent attention", a.q_lora == b.q_lora && a.kv_lora == b.kv_lora && a.nope == b.nope &&
                                   a.value_dim == b.value_dim && a.key_absorbed == b.key_absorbed},
      {"the rotary embedding's scaling", a.rope_dims == b.rope_dims && near(a.rope_magnitude, b.rope_magnitude) &&
                                             std::equal(a.rope_frequencies.begin(), a.rope_frequencies.end(),
                                                        b.rope_frequencies.begin(), b.rope_frequencies.end(), near)},
      {"the scale of attention", near(a.attention_scale, b.attention_scale)},
      {"the experts", a.experts == b.experts && a.shared_experts == b.shared_experts && a.expert_ffn == b.expert_ffn &&
                          a.dense_layers == b.dense_layers},
      {"the choice of experts", a.router.gate == b.router.gate && a.router.groups == b.router.groups &&
                                    a.router.groups_kept == b.router.groups_kept &&
                                    a.router.experts_per_row == b.router.experts_per_row &&
                                    a.router.normalise == b.router.normalise && near(a.router.scale, b.router.scale) &&
                                    a.router_bias == b.router_bias}};
  for (const auto& [what, same] : said)
    if (!same) return no_words(kind, what);
  return {};
}

Result<TokenizerSpec> tokenizer_of(ModelSource::Kind kind, const TokenizerSpec& source, int64_t vocab) {
  LANDFALL_ASSIGN(const Tokenizer tokenizer, Tokenizer::create(source));  // so that ids and merges are sound
  LANDFALL_TRY(check_vocabulary(tokenizer, vocab));
  TokenizerSpec spec = source;
  if (spec.rules) {
    const auto name = name_of_text_rules(*spec.rules);
    if (!name) return no_words(kind, "the pre-tokenizer, which is none of " + known_text_rules() + ",");
    spec.pre = *name;
    spec.rules.reset();
  }
  spec.add_bos = spec.add_bos && spec.bos >= 0;
  spec.add_eos = spec.add_eos && spec.eos >= 0;
  // GGUF files have a token for each row of the embedding, of which some are there to make its size round.
  if (kind == ModelSource::Kind::gguf) spec.tokens.resize(static_cast<size_t>(vocab));
  spec.types.resize(source.tokens.size(), kTokenNormal);
  spec.types.resize(spec.tokens.size(), kTokenUnused);
  std::set<std::string_view> texts;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (spec.tokens[i].empty()) {
      spec.tokens[i] = "[PAD" + std::to_string(i) + "]";
      spec.types[i] = kTokenUnused;
    } else if (spec.types[i] == kTokenNormal || spec.types[i] == kTokenUnknown) {
      // What other readers do not know by its spelling.
      if (tokenizer.is_special(id)) spec.types[i] = kTokenControl;
      if (tokenizer.is_markup(id) && !tokenizer.is_special(id)) spec.types[i] = kTokenUserDefined;
    }
    if (!texts.insert(spec.tokens[i]).second)
      return no_words(kind, "that token " + std::to_string(i) + " is written like another");
  }
  return spec;
}

// "models/ward-notes/" -> "ward-notes"
std::string name_of(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return std::string(file_name(path));
}

}  // namespace

Result<OtherLayout> describe_in(ModelSource::Kind kind, const ModelSource& source, const Model& model) {
  const Config& c = model.config();
  if (c.key_absorbed) {
    return Status(Code::unsupported, "the key matrix of '" + source.path +
                                         "' stands transposed per head (attn_k_b), which " +
                                         std::string(layout_name(kind)) +
                                         " written here has as projected; start from a file with attn_kv_b");
  }
  LANDFALL_ASSIGN(const ModelShape shape, shape_of(kind, source, model));
  LANDFALL_TRY(check_readers(kind, shape));
  OtherLayout out;
  const bool gguf = kind == ModelSource::Kind::gguf;
  Json config;
  if (gguf) {
    config = shape_metadata(shape, true);
    config.set("general.name", name_of(source.path));
  } else {
    LANDFALL_ASSIGN(config, shape_config(shape));
  }
  LANDFALL_ASSIGN(std::vector<FileTensor> tensors, shape_tensors(kind, shape, config, true));
  if (gguf && shape.rope_scaling == "llama3") {
    const std::vector<float> plain = plain_frequencies(c.rope_dims, shape.rope_base);
    for (size_t i = 0; i < plain.size(); ++i) out.divisors.push_back(plain[i] / c.rope_frequencies[i]);
    FileTensor divisors;
    divisors.name = "rope_freqs.weight";
    divisors.type_name = "F32";
    divisors.format = format_by_name("F32");
    divisors.shape = {c.rope_dims / 2};
    divisors.data = std::as_bytes(std::span(out.divisors));
    tensors.push_back(std::move(divisors));
  }
  LANDFALL_ASSIGN(out.source, ModelSource::described(kind, std::move(config), std::move(tensors)));
  LANDFALL_ASSIGN(out.model, describe_model(out.source));
  LANDFALL_TRY(compare(kind, c, out.model.config()));
  for (const Weight& w : out.model.weights()) {
    const WeightSpec& spec = out.model.spec(w);
    if (!model.find(out.model.layer_of(w), spec.name)) return no_words(kind, "that there is no " + spec.name);
  }
  if (out.model.weights().size() != model.weights().size()) return no_words(kind, "all weights");
  if (source.tokenizer) {
    LANDFALL_ASSIGN(out.tokenizer, tokenizer_of(kind, *source.tokenizer, c.vocab));
  }
  return out;
}

}  // namespace landfall
