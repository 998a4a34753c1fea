#include "model/config_reader.h"

#include <cmath>
#include <cstring>

#include "model/rope_scaling.h"

namespace landfall {

std::string ConfigReader::key_name(std::string_view gguf_key, std::string_view hf_key) const {
  return gguf() ? source_.architecture + "." + std::string(gguf_key) : std::string(hf_key);
}

const Json& ConfigReader::value(std::string_view gguf_key, std::string_view hf_key) const {
  if ((gguf() ? gguf_key : hf_key).empty()) return source_.config[""];
  return source_.config[key_name(gguf_key, hf_key)];
}

void ConfigReader::fail(Code code, const std::string& message) {
  if (status_.ok()) status_ = Status(code, "configuration of '" + source_.path + "': " + message);
}

int64_t ConfigReader::integer(std::string_view gguf_key, std::string_view hf_key, int64_t low, int64_t high) {
  if (!has(gguf_key, hf_key)) {
    fail(Code::invalid_argument, "'" + key_name(gguf_key, hf_key) + "' is missing");
    return low;
  }
  return integer(gguf_key, hf_key, low, high, low);
}

int64_t ConfigReader::integer(std::string_view gguf_key, std::string_view hf_key, int64_t low, int64_t high,
                              int64_t otherwise) {
  const Json& v = value(gguf_key, hf_key);
  if (v.is_null()) return otherwise;
  const int64_t n = v.integer(low - 1);
  if (n < low || n > high) {
    fail(Code::invalid_argument, "'" + key_name(gguf_key, hf_key) + "' is " + v.dump().substr(0, 60) +
                                     "; a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                                     " is expected");
    return low;
  }
  return n;
}

double ConfigReader::number(std::string_view gguf_key, std::string_view hf_key, double otherwise) {
  const Json& v = value(gguf_key, hf_key);
  if (v.is_null()) return otherwise;
  if (!v.is_number() || !std::isfinite(v.number())) {
    fail(Code::invalid_argument, "'" + key_name(gguf_key, hf_key) + "' is not a number");
    return otherwise;
  }
  return v.number();
}

bool ConfigReader::boolean(std::string_view gguf_key, std::string_view hf_key, bool otherwise) {
  return value(gguf_key, hf_key).boolean(otherwise);
}

double ConfigReader::range(double v, const char* what, double low, double high) {
  if (!(v >= low && v <= high)) {
    fail(Code::invalid_argument, std::string(what) + " is " + std::to_string(v) + ", outside " + std::to_string(low) +
                                     " to " + std::to_string(high));
    return low;
  }
  return v;
}

// Every matrix has at least two outputs: a weight with a single one is a vector (tensor.h).
void ConfigReader::read_common(Config& c) {
  c.width = integer("embedding_length", "hidden_size", 2, 1 << 17);
  c.layers = integer("block_count", "num_hidden_layers", 1, 1024);
  c.heads = integer("attention.head_count", "num_attention_heads", 1, 4096);
  c.kv_heads = integer("attention.head_count_kv", "num_key_value_heads", 1, 4096, c.heads);
  c.ffn = integer("feed_forward_length", "intermediate_size", 2, 1 << 20);
  c.context = integer("context_length", "max_position_embeddings", 1, int64_t{1} << 30);
  c.norm_epsilon =
      static_cast<float>(range(number("attention.layer_norm_rms_epsilon", "rms_norm_eps", 1e-6), "norm epsilon", 0, 1));
  c.head_dim = integer("attention.key_length", "head_dim", 1, 1 << 14, std::max<int64_t>(1, c.width / c.heads));
  c.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)));
  if (gguf()) {
    const FileTensor* embedding = source_.find("token_embd.weight");
    c.vocab = embedding ? embedding->rows() : 0;
    c.tied = source_.find("output.weight") == nullptr;
  } else {
    c.vocab = integer("", "vocab_size", 2, 1 << 24);
    c.tied = boolean("", "tie_word_embeddings", false);
  }
  if (c.vocab < 2 || c.vocab > (1 << 24))
    fail(Code::invalid_argument, "a vocabulary of " + std::to_string(c.vocab) + " tokens");
  if (c.heads % c.kv_heads != 0) {
    fail(Code::invalid_argument,
         std::to_string(c.heads) + " query heads are not a multiple of " + std::to_string(c.kv_heads) + " key heads");
  }
  const std::string& activation = value("", "hidden_act").string();
  if (!activation.empty() && activation != "silu") {
    fail(Code::unsupported, "activation '" + activation + "' is not supported; 'silu' is");
  }
}

double ConfigReader::read_rope(Config& c, int64_t dims) {
  c.rope_dims = dims;
  if (dims < 2 || dims % 2 != 0 || dims > c.head_dim) {
    fail(Code::invalid_argument, "rotary embedding over " + std::to_string(dims) + " of " + std::to_string(c.head_dim) +
                                     " dimensions; an even number, at most all of them, is expected");
    return 1;
  }
  // Hugging Face: rope_theta and rope_scaling, or both inside the newer rope_parameters.
  const Json& parameters = source_.config["rope_parameters"];
  const Json& scaling = gguf()                   ? source_.config[""]
                        : parameters.is_object() ? parameters
                                                 : source_.config["rope_scaling"];
  auto scale_number = [&](const char* gguf_key, const char* hf_key, double otherwise) {
    if (gguf()) return number(std::string("rope.scaling.") + gguf_key, "", otherwise);
    return scaling[hf_key].is_number() ? scaling[hf_key].number() : otherwise;
  };
  double base = number("rope.freq_base", "rope_theta", parameters["rope_theta"].number(10000.0));
  base = range(base, "rope base", 1.0001, 1e12);
  c.rope_scaling.base = base;
  std::string type = gguf() ? value("rope.scaling.type", "").string() : scaling["rope_type"].string();
  if (!gguf() && type.empty()) type = scaling["type"].string();
  if (type.empty() || type == "none" || type == "default") {
    const double linear = range(gguf() ? number("rope.scale_linear", "", 1.0) : 1.0, "rope factor", 1e-3, 1e6);
    if (linear != 1) c.rope_scaling.type = "linear", c.rope_scaling.factor = linear;
    c.rope_frequencies = linear_frequencies(dims, base, linear);
  } else {
    const double factor = range(scale_number("factor", "factor", 1.0), "rope factor", 1.0, 1e6);
    const double original = range(
        scale_number("original_context_length", "original_max_position_embeddings", static_cast<double>(c.context)),
        "original context", 1.0, 1e9);
    c.rope_scaling.type = type, c.rope_scaling.factor = factor, c.rope_scaling.original_context = original;
    if (type == "linear") {
      c.rope_frequencies = linear_frequencies(dims, base, factor);
    } else if (type == "llama3") {
      const double low = scaling["low_freq_factor"].number(1.0), high = scaling["high_freq_factor"].number(4.0);
      if (!(low > 0 && high > low)) fail(Code::invalid_argument, "rope low_freq_factor and high_freq_factor must rise");
      c.rope_frequencies = llama3_frequencies(dims, base, factor, low, high, original);
    } else if (type == "yarn") {
      const double fast = scale_number("yarn_beta_fast", "beta_fast", 32.0),
                   slow = scale_number("yarn_beta_slow", "beta_slow", 1.0);
      if (!(fast > 0 && slow > 0)) fail(Code::invalid_argument, "rope beta_fast and beta_slow must be positive");
      c.rope_scaling.beta_fast = fast, c.rope_scaling.beta_slow = slow;
      c.rope_frequencies = yarn_frequencies(dims, base, factor, original, fast, slow);
      if (gguf()) {
        // DeepSeek files carry 0.1 * mscale_all_dim, with mscale equal to it, so cos and sin keep their size.
        if (has("rope.scaling.yarn_log_multiplier", "")) {
          c.rope_scaling.yarn_log_multiplier =
              range(number("rope.scaling.yarn_log_multiplier", "", 0.0), "yarn_log_multiplier", 0, 10);
          return 1.0 + c.rope_scaling.yarn_log_multiplier * std::log(factor);
        }
        c.rope_magnitude =
            static_cast<float>(yarn_temperature(factor, 1.0) * number("rope.scaling.attn_factor", "", 1.0) *
                               number("rope.scaling.yarn_attn_factor", "", 1.0));  // as converters call it
        return 1;
      }
      const double all = scaling["mscale_all_dim"].number(0.0);
      c.rope_scaling.yarn_log_multiplier = 0.1 * all;
      if (scaling["attention_factor"].is_number()) {
        c.rope_magnitude = static_cast<float>(scaling["attention_factor"].number());
      } else {
        c.rope_magnitude = static_cast<float>(yarn_temperature(factor, scaling["mscale"].number(1.0)) /
                                              yarn_temperature(factor, all) * scaling["attn_factor"].number(1.0));
      }
      return yarn_temperature(factor, all);
    } else {
      fail(Code::unsupported, "rope scaling '" + type + "' is not supported; linear, llama3 and yarn are");
      c.rope_frequencies = plain_frequencies(dims, base);
    }
  }
  // GGUF keeps Llama 3's scaling as one divisor per frequency.
  if (const FileTensor* divisors = gguf() ? source_.find("rope_freqs.weight") : nullptr) {
    if (divisors->type_name != "F32" || divisors->columns() != dims / 2 || divisors->rows() != 1) {
      fail(Code::invalid_argument, "tensor 'rope_freqs.weight' is " + divisors->type_name + " " +
                                       divisors->shape_text() + "; F32 [" + std::to_string(dims / 2) + "] is expected");
      return 1;
    }
    for (int64_t i = 0; i < dims / 2; ++i) {
      float divisor;
      std::memcpy(&divisor, divisors->data.data() + 4 * i, 4);
      if (!(divisor > 0)) fail(Code::data_loss, "tensor 'rope_freqs.weight' holds a divisor that is not positive");
      c.rope_frequencies[static_cast<size_t>(i)] /= divisor;
    }
  }
  return 1;
}

}  // namespace landfall
