// What a step sees in place of a model's weights, which themselves never change: another weight of the same shape
// (a trainable copy, a quantised one), or for a linear map a low-rank addition, y += B (A x) (LoRA, Hu et al.,
// arXiv 2106.09685; its factor alpha / rank is part of B). Keyed by weight id. Whoever made it owns the weights, and
// keeps them for as long as a step or a tape may look; operators and model code know nothing of it.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace landfall {

struct LowRank {
  const Weight* a = nullptr;  // [rank, in]
  const Weight* b = nullptr;  // [out, rank]
};

class Overlay {
 public:
  // `by` takes the place of the weight with its id.
  void replace(const Weight& by) { at(by.id).replacement = &by; }
  // Adds to the linear maps by the weight `id`.
  void add(uint32_t id, LowRank addition) { at(id).addition = addition; }

  const Weight& seen(const Weight& weight) const {
    const Entry* e = find(weight.id);
    return e && e->replacement ? *e->replacement : weight;
  }
  // Null where the weight has none.
  const LowRank* addition(const Weight& weight) const {
    const Entry* e = find(weight.id);
    return e && e->addition.a ? &e->addition : nullptr;
  }

 private:
  struct Entry {
    const Weight* replacement = nullptr;
    LowRank addition;
  };
  Entry& at(uint32_t id) {
    if (id >= entries_.size()) entries_.resize(id + 1);
    return entries_[id];
  }
  const Entry* find(uint32_t id) const { return id < entries_.size() ? &entries_[id] : nullptr; }
  std::vector<Entry> entries_;  // by id
};

}  // namespace landfall
