// A hostile config.json. Where an architecture takes it and the model would be small, a folder with just the weights
// that it asks for is made, loaded and run: what parses must also compute. Before the JSON may stand 'g' and the name
// of a GGUF architecture, a zero byte: then the keys are those of GGUF metadata, and only parsing is tried.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/thread_pool.h"
#include "memory_env.h"
#include "model/model.h"
#include "runtime/engine.h"

using namespace landfall;

namespace {

constexpr int64_t kMostNumbers = 200'000;

// Adds the tensors of one weight to `sizes` (name -> rows, columns); false when the model gets too large.
bool add_tensors(const WeightSpec& spec, std::map<std::string, std::pair<int64_t, int64_t>>& sizes, int64_t& numbers) {
  const WeightPlace& place = spec.places.front();
  LANDFALL_CHECK(spec.experts >= 1 && spec.out >= 1 && spec.in >= 1, spec.name);
  LANDFALL_CHECK(place.first >= 0 && (place.period == 0 || place.first + spec.out <= place.period * spec.experts),
                 spec.name);
  const int64_t rows = place.period > 0 ? place.period : spec.out;
  if (rows > kMostNumbers || spec.in > kMostNumbers || spec.experts > 64) return false;
  const size_t at = place.hf.find("{e}");
  const bool per_expert = at != std::string::npos;
  for (int64_t e = 0; e < (per_expert ? spec.experts : 1); ++e) {
    const std::string name =
        per_expert ? place.hf.substr(0, at) + std::to_string(e) + place.hf.substr(at + 3) : place.hf;
    const int64_t all_rows = rows * (per_expert ? 1 : spec.experts);
    if (!sizes.emplace(name, std::pair(all_rows, spec.in)).second) continue;
    numbers += all_rows * spec.in;
    if (numbers > kMostNumbers) return false;
  }
  return true;
}

std::string safetensors(const std::map<std::string, std::pair<int64_t, int64_t>>& sizes) {
  Json header{Json::Object{}};
  int64_t bytes = 0;
  for (const auto& [name, size] : sizes) {
    Json shape{Json::Array{}};
    if (size.first > 1) shape.push(Json(size.first));
    shape.push(Json(size.second));
    Json offsets{Json::Array{}};
    offsets.push(Json(bytes)).push(Json(bytes += size.first * size.second * 4));
    Json row;
    row.set("dtype", Json("F32")).set("shape", std::move(shape)).set("data_offsets", std::move(offsets));
    header.set(name, std::move(row));
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  out += text;
  for (int64_t i = 0; i < bytes / 4; ++i) {
    const float value = 0.1f * std::sin(static_cast<float>(i));
    out.append(reinterpret_cast<const char*>(&value), 4);
  }
  return out;
}

void run(Model model, const ModelSource& source) {
  ThreadPool pool(1);
  if (!load_weights(source, pool, {}, model).ok()) return;
  if (auto layer = describe_multi_token(source, model); layer.ok()) run(std::move(*layer), source);
  const bool reads_hidden = model.architecture().reads_hidden;
  const auto width = static_cast<size_t>(model.config().width);
  EngineOptions options;
  options.threads = 1;
  options.context = 32;
  options.batch = 8;
  auto engine = Engine::create(std::make_shared<const Model>(std::move(model)), options);
  if (!engine.ok()) return;
  auto sequence = (*engine)->open(4);
  LANDFALL_CHECK(sequence.ok(), sequence.status().message());
  const std::vector<int32_t> tokens(8, 0);
  for (const size_t count : {size_t{6}, size_t{1}}) {
    const std::vector<float> hidden(reads_hidden ? count * width : 0, 0.5f);
    const Engine::Work work{*sequence, std::span(tokens).first(count), 1, hidden};
    auto logits = (*engine)->step({&work, 1});
    if (logits.ok()) LANDFALL_CHECK(logits->rows == 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  ModelSource source;
  if (!input.empty() && input.front() == 'g') {
    const size_t zero = input.find('\0');
    if (zero == input.npos) return 0;
    source.architecture = input.substr(1, zero - 1);
    source.kind = ModelSource::Kind::gguf;
    input.remove_prefix(zero + 1);
  } else {
    source.kind = ModelSource::Kind::hugging_face;
  }
  Result<Json> json = parse_json(input);
  if (!json.ok() || !json->is_object()) return 0;
  source.config = std::move(*json);
  if (source.kind == ModelSource::Kind::hugging_face) source.architecture = source.config["model_type"].string();

  auto architecture = find_architecture(source.architecture);
  if (!architecture.ok()) return 0;
  ConfigReader reader(source);
  Config config;
  (*architecture)->parse(reader, config);
  if (!reader.status().ok()) {
    LANDFALL_CHECK(!reader.status().message().empty());
    return 0;
  }
  if (source.kind == ModelSource::Kind::gguf || config.layers > 4 || config.rope_dims > 1024) return 0;

  std::map<std::string, std::pair<int64_t, int64_t>> sizes;
  int64_t numbers = 0;
  auto add_layer = [&](const Architecture& a, int64_t layer) {
    const auto specs = a.weights(config, layer);
    return std::all_of(specs.begin(), specs.end(),
                       [&](const WeightSpec& spec) { return add_tensors(spec, sizes, numbers); });
  };
  for (int64_t layer = -1; layer < config.layers; ++layer) {
    if (!add_layer(**architecture, layer)) return 0;
  }
  if (config.multi_token_layers > 0 && !add_layer(*(*architecture)->multi_token, config.layers)) return 0;
  MemoryEnv env;
  env.add("m/config.json", input);
  env.add("m/model.safetensors", safetensors(sizes));
  Result<ModelSource> folder = ModelSource::open(env, "m");
  LANDFALL_CHECK(folder.ok(), folder.status().message());
  Result<Model> model = describe_model(*folder);
  if (model.ok()) run(std::move(*model), *folder);
  return 0;
}
