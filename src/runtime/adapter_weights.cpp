#include "runtime/adapter_weights.h"

namespace landfall {

AdapterWeights::AdapterWeights(const Model& model, const Adapter& adapter, uint64_t identity) : identity_(identity) {
  const Format& f32 = *format_by_name("F32");
  const auto factor = static_cast<float>(adapter.scale());
  auto id = static_cast<uint32_t>(model.weights().size());  // an overlay tells weights apart by these
  pairs_.reserve(adapter.parts.size());                     // the overlay points into it
  for (const AdapterPart& part : adapter.parts) {
    const Weight& w = model.weights()[part.weight];
    std::vector<float> scaled = part.b;
    for (float& v : scaled) v *= factor;
    Pair& pair = pairs_.emplace_back();
    pair.a = make_weight(id++, w.name + ".lora_a", f32, 1, adapter.rank, w.in, part.a);
    pair.b = make_weight(id++, w.name + ".lora_b", f32, 1, w.out, adapter.rank, scaled);
    overlay_.add(w.id, pair.addition());
    bytes_ += weight_bytes(pair.a.weight) + weight_bytes(pair.b.weight);
  }
}

}  // namespace landfall
