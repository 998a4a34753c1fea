// A hostile adapter over a sound model of one layer: the input is adapter_config.json, a zero byte, and the tensors.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "memory_env.h"
#include "model/adapter.h"
#include "model/shape_tensors.h"

using namespace landfall;

namespace {

// Described as a GGUF file would be, with permuted rows of queries and keys; its numbers are not asked for.
const Model& base() {
  static const Model* model = [] {
    ModelShape shape = with_layers(*find_model_shape("llama-1.1b"), 1);
    shape.width = shape.ffn = shape.vocab = 32;
    shape.heads = shape.kv_heads = 2;
    shape.head_dim = 16;
    const Json metadata = shape_metadata(shape, false);
    const auto tensors = shape_tensors(ModelSource::Kind::gguf, shape, metadata, false);
    const auto source = ModelSource::described(ModelSource::Kind::gguf, metadata, *tensors);
    auto described = describe_model(*source);
    LANDFALL_CHECK(described.ok(), described.status().message());
    return new Model(std::move(*described));
  }();
  return *model;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(input.find('\0'), input.size());
  MemoryEnv env;
  env.add("a/adapter_config.json", input.substr(0, zero));
  env.add("a/adapter_model.safetensors", input.substr(std::min(zero + 1, input.size())));
  const Result<Adapter> adapter = read_adapter(env, "a", base());
  if (!adapter.ok()) {
    LANDFALL_CHECK(!adapter.status().message().empty());
    return 0;
  }
  for (const AdapterPart& part : adapter->parts) {
    const Weight& w = base().weights()[part.weight];
    LANDFALL_CHECK(static_cast<int64_t>(part.a.size()) == adapter->rank * w.in);
    LANDFALL_CHECK(static_cast<int64_t>(part.b.size()) == w.out * adapter->rank);
  }
  return 0;
}
