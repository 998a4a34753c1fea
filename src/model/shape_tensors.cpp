#include "model/shape_tensors.h"

#include <algorithm>
#include <set>

#include "model/architecture.h"

namespace landfall {
namespace {

FileTensor tensor(std::string name, std::vector<int64_t> dims) {
  FileTensor out;
  out.name = std::move(name);
  out.shape = std::move(dims);
  out.format = format_by_name("F32");
  out.type_name = "F32";
  return out;
}

std::vector<int64_t> dims_of(const WeightSpec& spec, const WeightPlace& place, bool per_expert) {
  if (spec.out == 1 && spec.experts == 1) return {spec.in};
  if (place.period > 0) return {spec.experts * place.period, spec.in};
  if (spec.experts > 1 && !per_expert) return {spec.experts, spec.out, spec.in};
  return {spec.out, spec.in};
}

}  // namespace

Result<std::vector<FileTensor>> shape_tensors(ModelSource::Kind kind, const ModelShape& shape, const Json& config,
                                              bool fused) {
  // What parsing asks its files for, which config.json says by itself.
  std::vector<FileTensor> asked;
  if (kind == ModelSource::Kind::gguf) {
    asked.push_back(tensor("token_embd.weight", {shape.vocab, shape.width}));
    if (!shape.tied) asked.push_back(tensor("output.weight", {shape.vocab, shape.width}));
    if (shape.sigmoid_gate)
      asked.push_back(tensor("blk." + std::to_string(shape.dense_layers) + ".exp_probs_b.bias", {shape.experts}));
    if (fused) asked.push_back(tensor("blk.0.attn_kv_b.weight", {1, 1}));
  }
  LANDFALL_ASSIGN(const ModelSource source, ModelSource::described(kind, config, std::move(asked)));
  LANDFALL_ASSIGN(const Architecture* architecture, find_architecture(source.architecture));
  ConfigReader reader(source);
  Config parsed;
  architecture->parse(reader, parsed);
  LANDFALL_TRY(reader.status());
  std::vector<FileTensor> out;
  std::set<std::string> names;  // two weights may share a tensor
  for (int64_t layer = -1; layer < parsed.layers; ++layer) {
    for (const WeightSpec& spec : architecture->weights(parsed, layer)) {
      const auto place = std::find_if(spec.places.begin(), spec.places.end(),
                                      [&](const WeightPlace& p) { return !p.name(kind).empty(); });
      LANDFALL_CHECK(place != spec.places.end(), spec.name);
      const bool per_expert = place->name(kind).find("{e}") != std::string::npos;
      for (int64_t e = 0; e < (per_expert ? spec.experts : 1); ++e) {
        const std::string name = with_expert(place->name(kind), e);
        if (names.insert(name).second) out.push_back(tensor(name, dims_of(spec, *place, per_expert)));
      }
    }
  }
  return out;
}

}  // namespace landfall
