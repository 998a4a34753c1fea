// A low-rank adapter made ready for steps: its matrices packed in f32, its factor alpha / rank within B, behind the
// Overlay that puts them beside the model's weights. Immutable, so any number of steps may look at once; the model must
// outlive it.
#pragma once

#include <cstdint>
#include <vector>

#include "model/adapter.h"
#include "tensor/overlay.h"
#include "tensor/weight.h"

namespace landfall {

class AdapterWeights {
 public:
  // `adapter` is one of `model` (see read_adapter). `identity`: a number above 0 that no other adapter of the same
  // engine has or had, which tells cached rows of one from those of another.
  AdapterWeights(const Model& model, const Adapter& adapter, uint64_t identity);
  AdapterWeights(const AdapterWeights&) = delete;
  AdapterWeights& operator=(const AdapterWeights&) = delete;

  const Overlay& overlay() const { return overlay_; }
  uint64_t identity() const { return identity_; }
  int64_t bytes() const { return bytes_; }

 private:
  struct Pair {
    OwnedWeight a, b;
    LowRank addition() const { return {&a.weight, &b.weight}; }
  };
  const uint64_t identity_;
  std::vector<Pair> pairs_;
  Overlay overlay_;
  int64_t bytes_ = 0;
};

}  // namespace landfall
