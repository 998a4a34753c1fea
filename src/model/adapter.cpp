#include "model/adapter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "model/new_folder.h"
#include "model/row_order.h"
#include "model/safetensors_writer.h"
#include "model/source.h"

namespace landfall {

namespace {

constexpr std::string_view kConfig = "adapter_config.json", kTensors = "adapter_model.safetensors";
constexpr std::string_view kPrefix = "base_model.model.", kA = ".lora_A.weight", kB = ".lora_B.weight";
constexpr int64_t kMaxRank = 4096;

// "model.layers.0.self_attn.q_proj"
std::string module_of(const Model& model, const Weight& w) {
  const std::string& name = model.spec(w).places[0].hf;
  constexpr std::string_view kEnd = ".weight";
  return name.ends_with(kEnd) ? name.substr(0, name.size() - kEnd.size()) : name;
}

std::string last_of(const std::string& module) { return module.substr(module.rfind('.') + 1); }

// What target_modules calls it, which PEFT compares with the ends of names. Where there are routed experts, "gate_proj"
// alone would be theirs too.
std::string target_of(const Model& model, const std::string& module) {
  const std::string last = last_of(module);
  if (model.config().experts == 0) return last;
  return last_of(module.substr(0, module.size() - last.size() - 1)) + "." + last;
}

// The row in Hugging Face's order of a row of the model's.
int64_t published_row(const Model& model, const Weight& w, int64_t row) {
  return is_permuted(model, w) ? half_split_row(model, row) : row;
}

Status damaged(const std::string& file, const std::string& what) {
  return Status(Code::data_loss, "'" + file + "': " + what + "; fetch or make the adapter again");
}

// A list of what there is, short enough to read.
std::string some_of(const std::set<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "none" : out;
}

Status unsupported(const std::string& file, const std::string& what) {
  return Status(Code::unsupported,
                "'" + file + "' " + what + ", which is not supported; plain LoRA of linear maps with one rank is");
}

bool is_empty(const Json& value) {
  return value.is_null() || (value.is_array() && value.array().empty()) ||
         (value.is_object() && value.object().empty()) || (value.is_bool() && !value.boolean());
}

Status read_config(Env& env, const std::string& folder, Adapter& out) {
  const std::string file = join_path(folder, kConfig);
  LANDFALL_ASSIGN(const std::string text, env.read(file, 4 << 20));
  auto parsed = parse_json(text, {.bytes = 4 << 20, .depth = 16});
  if (!parsed.ok()) return parsed.status().within("'" + file + "'");
  const Json& config = *parsed;
  if (!config.is_object()) return damaged(file, "it is not a JSON object");
  if (config["peft_type"].string() != "LORA") {
    const std::string& type = config["peft_type"].string();
    return unsupported(file, type.empty() ? "names no peft_type" : "is of the peft_type '" + type.substr(0, 80) + "'");
  }
  // Each changes what is added, when, or to what; or adds more.
  for (const char* key : {"use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias",
                          "trainable_token_indices", "target_parameters", "megatron_config", "use_qalora",
                          "layer_replication", "alora_invocation_tokens", "arrow_config"}) {
    if (!is_empty(config[key])) return unsupported(file, "sets " + std::string(key));
  }
  if (const std::string& bias = config["bias"].string(); !bias.empty() && bias != "none")
    return unsupported(file, "trains biases (bias is '" + bias.substr(0, 80) + "')");
  // Beginnings that take their part out of the base model, which then is another than its files have.
  const std::string& beginning = config["init_lora_weights"].string();
  if (!beginning.empty() && beginning != "gaussian" && beginning != "eva" && beginning != "orthogonal")
    return unsupported(file,
                       "began with changed base weights (init_lora_weights is '" + beginning.substr(0, 80) + "')");
  out.rank = config["r"].integer();
  out.alpha = config["lora_alpha"].number(NAN);
  out.base = config["base_model_name_or_path"].string();
  if (out.rank < 1 || out.rank > kMaxRank) {
    return damaged(file, "its rank r is " + config["r"].dump().substr(0, 80) + "; 1 to " + std::to_string(kMaxRank) +
                             " is possible");
  }
  if (!std::isfinite(out.alpha))
    return damaged(file, "its lora_alpha is " + config["lora_alpha"].dump().substr(0, 80) + " and not a number");
  // Rank-stabilised LoRA divides by the root of the rank (Kalajdzievski, arXiv 2312.03732).
  if (config["use_rslora"].boolean()) out.alpha *= std::sqrt(static_cast<double>(out.rank));
  return {};
}

// Row after row; of shape [rows, columns], checked.
Status read_matrix(const std::string& file, const FileTensor& t, std::vector<float>& out) {
  out.resize(static_cast<size_t>(t.rows() * t.columns()));
  t.format->decode(t.data.data(), static_cast<int64_t>(out.size()), out.data());
  for (size_t i = 0; i < out.size(); ++i) {
    if (std::isfinite(out[i])) continue;
    return damaged(file, "tensor '" + t.name + "' holds a number that is not finite at row " +
                             std::to_string(static_cast<int64_t>(i) / t.columns()) + ", column " +
                             std::to_string(static_cast<int64_t>(i) % t.columns()));
  }
  return {};
}

Status check_matrix(const std::string& file, const FileTensor& t, int64_t rows, int64_t columns) {
  const bool floats = t.type_name == "F32" || t.type_name == "F16" || t.type_name == "BF16";
  if (!floats) {
    return Status(Code::unsupported, "'" + file + "': tensor '" + t.name + "' is " + t.type_name +
                                         "; numbers of adapters are read in F32, F16 and BF16");
  }
  if (t.shape == std::vector<int64_t>{rows, columns}) return {};
  return Status(Code::invalid_argument, "'" + file + "': tensor '" + t.name + "' has the shape " + t.shape_text() +
                                            ", but this model and rank ask for [" + std::to_string(rows) + ", " +
                                            std::to_string(columns) +
                                            "]; the adapter was made for another model: load the base model that its " +
                                            std::string(kConfig) + " names");
}

struct Pair {
  const FileTensor *a = nullptr, *b = nullptr;
};

Status find_pairs(const std::string& file, const std::vector<FileTensor>& tensors, const Model& model,
                  std::map<uint32_t, Pair>& out) {
  std::map<std::string, const Weight*> modules;
  std::set<std::string> kinds;
  for (const Weight& w : model.weights()) {
    if (!takes_adapter(model, w)) continue;
    const std::string module = module_of(model, w);
    kinds.insert(last_of(module));
    modules[module] = &w;
  }
  for (const FileTensor& t : tensors) {
    const bool a = t.name.ends_with(kA), b = t.name.ends_with(kB);
    if (!t.name.starts_with(kPrefix) || (!a && !b) || t.name.size() < kPrefix.size() + kA.size()) {
      return unsupported(file, "holds the tensor '" + t.name.substr(0, 200) + "'");
    }
    const std::string module = t.name.substr(kPrefix.size(), t.name.size() - kPrefix.size() - kA.size());
    const auto found = modules.find(module);
    if (found == modules.end()) {
      return Status(Code::invalid_argument,
                    "'" + file + "' adds to the module '" + module.substr(0, 200) +
                        "', which this model does not have or which takes no adapter; its layers' "
                        "modules that do are " +
                        some_of(kinds));
    }
    Pair& pair = out[found->second->id];
    const FileTensor*& place = a ? pair.a : pair.b;
    if (place) return damaged(file, "tensor '" + t.name + "' stands twice");
    place = &t;
  }
  return {};
}

}  // namespace

bool takes_adapter(const Model& model, const Weight& w) {
  const WeightSpec& spec = model.spec(w);
  return model.layer_of(w) >= 0 && w.experts == 1 && w.out > 1 && spec.name != "ffn_gate_inp" && !spec.places.empty() &&
         !spec.places[0].hf.empty();
}

Status write_adapter(Env& env, const std::string& folder, const Model& model, const Adapter& adapter) {
  std::vector<OutputTensor> tensors;
  Json::Array targets;
  std::set<std::string> kinds;
  const Format* f32 = format_by_name("F32");
  for (const AdapterPart& part : adapter.parts) {
    LANDFALL_CHECK(part.weight < model.weights().size());
    const Weight& w = model.weights()[part.weight];
    LANDFALL_CHECK(takes_adapter(model, w) && static_cast<int64_t>(part.a.size()) == adapter.rank * w.in &&
                       static_cast<int64_t>(part.b.size()) == w.out * adapter.rank,
                   w.name);
    const std::string module = module_of(model, w);
    tensors.push_back({std::string(kPrefix) + module + std::string(kA), {adapter.rank, w.in}, f32});
    tensors.push_back({std::string(kPrefix) + module + std::string(kB), {w.out, adapter.rank}, f32});
    if (const std::string target = target_of(model, module); kinds.insert(target).second)
      targets.push_back(Json(target));
    const auto finite = [](float v) { return std::isfinite(v); };
    if (std::all_of(part.a.begin(), part.a.end(), finite) && std::all_of(part.b.begin(), part.b.end(), finite))
      continue;
    return Status(Code::invalid_argument,
                  "what is added to '" + module + "' holds a number that is not finite; take an earlier checkpoint");
  }
  const FillRows fill = [&](size_t tensor, int64_t first, int64_t count, std::span<std::byte> out) -> Status {
    const AdapterPart& part = adapter.parts[tensor / 2];
    const Weight& w = model.weights()[part.weight];
    const int64_t columns = tensors[tensor].columns();
    for (int64_t row = 0; row < (tensor % 2 == 0 ? count : w.out); ++row) {
      // Of B, the model's rows that belong into this piece.
      const int64_t to = tensor % 2 == 0 ? row : published_row(model, w, row) - first;
      if (to < 0 || to >= count) continue;
      const float* from = tensor % 2 == 0 ? part.a.data() + (first + row) * columns : part.b.data() + row * columns;
      std::memcpy(out.data() + to * columns * 4, from, static_cast<size_t>(columns) * 4);
    }
    return {};
  };
  Json config;
  config.set("peft_type", "LORA").set("task_type", "CAUSAL_LM").set("base_model_name_or_path", adapter.base);
  config.set("r", adapter.rank).set("lora_alpha", adapter.alpha).set("lora_dropout", 0.0);
  config.set("target_modules", Json(std::move(targets))).set("bias", "none").set("fan_in_fan_out", false);
  config.set("inference_mode", true);
  return write_folder(env, folder, [&](const std::string& partial) -> Status {
    LANDFALL_TRY(write_safetensors(env, join_path(partial, kTensors), tensors, fill, nullptr));
    return write_file(env, join_path(partial, kConfig), config.dump(2) + "\n");
  });
}

Result<Adapter> read_adapter(Env& env, const std::string& folder, const Model& model) {
  Adapter out;
  LANDFALL_TRY(read_config(env, folder, out));
  const std::string file = join_path(folder, kTensors);
  LANDFALL_ASSIGN(const auto mapped, env.map(file));
  std::vector<FileTensor> tensors;
  LANDFALL_TRY(read_safetensors(file, mapped->bytes(), tensors));
  std::map<uint32_t, Pair> pairs;
  LANDFALL_TRY(find_pairs(file, tensors, model, pairs));
  if (pairs.empty()) return damaged(file, "it holds no tensors");
  for (const auto& [id, pair] : pairs) {
    const Weight& w = model.weights()[id];
    if (!pair.a || !pair.b) {
      return damaged(file, "of '" + module_of(model, w) + "' it has only " + std::string(pair.a ? "lora_A" : "lora_B"));
    }
    LANDFALL_TRY(check_matrix(file, *pair.a, out.rank, w.in));
    LANDFALL_TRY(check_matrix(file, *pair.b, w.out, out.rank));
    AdapterPart part{.weight = id};
    std::vector<float> published;
    LANDFALL_TRY(read_matrix(file, *pair.a, part.a));
    LANDFALL_TRY(read_matrix(file, *pair.b, published));
    part.b.resize(published.size());
    for (int64_t row = 0; row < w.out; ++row) {
      std::copy_n(published.begin() + published_row(model, w, row) * out.rank, out.rank,
                  part.b.begin() + row * out.rank);
    }
    out.parts.push_back(std::move(part));
  }
  return out;
}

}  // namespace landfall
