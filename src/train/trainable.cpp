#include "train/trainable.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/counter_random.h"
#include "model/adapter.h"

namespace landfall {

extern const Format k_bf16;
extern const Format k_f32;

namespace {

// Names of what can get an addition, as forward passes ask for it.
std::vector<std::string> linear_maps(const Model& model) {
  std::vector<std::string> out;
  for (const Weight& w : model.weights()) {
    const std::string& name = model.spec(w).name;
    if (takes_adapter(model, w) && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  }
  return out;
}

std::string list(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// The weights that get an addition.
std::vector<const Weight*> extended(const Model& model, const LoraOptions& options) {
  const std::vector<std::string> targets = options.targets.empty() ? linear_maps(model) : options.targets;
  std::vector<const Weight*> out;
  for (const Weight& w : model.weights()) {
    if (takes_adapter(model, w) && std::find(targets.begin(), targets.end(), model.spec(w).name) != targets.end())
      out.push_back(&w);
  }
  return out;
}

}  // namespace

int64_t lora_elements(const Model& model, const LoraOptions& options) {
  int64_t n = 0;
  for (const Weight* w : extended(model, options)) n += options.rank * (w->in + w->out);
  return n;
}

Status check_targets(const Model& model, const std::vector<std::string>& targets) {
  const std::vector<std::string> all = linear_maps(model);
  for (const std::string& target : targets) {
    if (std::find(all.begin(), all.end(), target) != all.end()) continue;
    return Status(Code::invalid_argument,
                  "'" + target + "' is no linear map of this model's layers; there are: " + list(all));
  }
  return {};
}

void Trainable::allocate(Parameter& p, uint32_t id, bool rounded) {
  p.seen =
      describe_weight(id, p.name, rounded && precision_ == Precision::bf16 ? k_bf16 : k_f32, p.experts, p.out, p.in);
  memory_.push_back(Buffer::allocate(static_cast<size_t>(weight_bytes(p.seen))));
  LANDFALL_CHECK(memory_.back() != nullptr, "no memory for " + p.name);
  p.seen.buffer = memory_.back().get();
}

void Trainable::add(Parameter p, uint32_t id, bool rounded) {
  allocate(p, id, rounded);
  ids_.insert(id);
  parameters_.push_back(std::move(p));
}

Result<Trainable> Trainable::full(const Model& model, ThreadPool& pool, Precision precision) {
  Trainable out(precision);
  for (auto* list : {&out.parameters_, &out.selection_biases_}) list->reserve(model.weights().size());
  for (const Weight& w : model.weights()) {
    Parameter p{.name = w.name, .experts = w.experts, .out = w.out, .in = w.in, .decays = w.out > 1};
    p.hidden = p.decays && model.layer_of(w) >= 0;
    p.value.resize(static_cast<size_t>(w.elements()));
    pool.parallel_for(w.experts * w.out, 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) unpack_rows(w, r / w.out, r % w.out, 1, p.value.data() + r * w.in);
    });
    if (model.spec(w).name == "exp_probs_b") {
      out.allocate(p, w.id, false);
      out.selection_biases_.push_back(std::move(p));
    } else {
      out.add(std::move(p), w.id, model.spec(w).name != "ffn_gate_inp");
    }
  }
  out.overlay_ = std::make_unique<Overlay>();
  for (const auto* list : {&out.parameters_, &out.selection_biases_}) {
    for (const Parameter& p : *list) out.overlay_->replace(p.seen);
  }
  out.publish(pool);
  return out;
}

Result<Trainable> Trainable::lora(const Model& model, const LoraOptions& options, ThreadPool& pool) {
  LANDFALL_TRY(check_targets(model, options.targets));
  if (options.rank < 1 || options.rank > 1024)
    return Status(Code::invalid_argument, "the rank is " + std::to_string(options.rank) + "; 1 to 1024 is possible");
  Trainable out(options.precision);
  auto id = static_cast<uint32_t>(model.weights().size());
  std::vector<uint32_t> bases;
  out.parameters_.reserve(2 * model.weights().size());
  for (const Weight* extended_weight : extended(model, options)) {
    const Weight& w = *extended_weight;
    Parameter a{.name = w.name + ".lora_a", .out = options.rank, .in = w.in, .decays = true, .hidden = true};
    Parameter b{.name = w.name + ".lora_b", .out = w.out, .in = options.rank, .decays = true, .hidden = true};
    b.factor = static_cast<float>(options.alpha / static_cast<double>(options.rank));
    // As PEFT does: uniform with variance 1 / (3 in), Kaiming's with a = sqrt(5).
    a.value.resize(static_cast<size_t>(a.elements()));
    const CounterRandom random(options.seed, id);
    const double range = 1.0 / std::sqrt(static_cast<double>(w.in));
    for (size_t i = 0; i < a.value.size(); ++i)
      a.value[i] = static_cast<float>((2.0 * random.uniform(i) - 1.0) * range);
    b.value.assign(static_cast<size_t>(b.elements()), 0.0f);
    out.add(std::move(a), id++);
    out.add(std::move(b), id++);
    bases.push_back(w.id);
  }
  out.overlay_ = std::make_unique<Overlay>();
  for (size_t i = 0; i < bases.size(); ++i) {
    out.additions_.push_back({bases[i], &out.parameters_[2 * i], &out.parameters_[2 * i + 1]});
    out.overlay_->add(bases[i], {&out.additions_[i].a->seen, &out.additions_[i].b->seen});
  }
  out.publish(pool);
  return out;
}

int64_t Trainable::elements() const {
  int64_t n = 0;
  for (const Parameter& p : parameters_) n += p.elements();
  return n;
}

int64_t Trainable::seen_bytes() const {
  int64_t n = 0;
  for (const Parameter& p : parameters_) n += weight_bytes(p.seen);
  return n;
}

const Parameter* Trainable::find(const Weight& weight) const {
  for (const auto* list : {&parameters_, &selection_biases_}) {
    for (const Parameter& p : *list) {
      if (p.seen.id == weight.id) return &p;
    }
  }
  return nullptr;
}

void Trainable::rows(const Weight& weight, int64_t expert, int64_t first, int64_t count, float* out) const {
  if (const Parameter* found = find(weight)) {
    std::copy_n(found->value.begin() + (expert * weight.out + first) * weight.in, count * weight.in, out);
    return;
  }
  unpack_rows(weight, expert, first, count, out);
  const auto found =
      std::find_if(additions_.begin(), additions_.end(), [&](const Addition& a) { return a.weight == weight.id; });
  if (found == additions_.end()) return;
  const Parameter &a = *found->a, &b = *found->b;
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t k = 0; k < b.in; ++k) {
      const float factor = b.factor * b.value[static_cast<size_t>((first + r) * b.in + k)];
      const float* from = a.value.data() + k * a.in;
      for (int64_t i = 0; i < a.in; ++i) out[r * a.in + i] += factor * from[i];
    }
  }
}

void Trainable::publish(ThreadPool& pool) {
  for (const Parameter& p : selection_biases_) std::memcpy(p.seen.buffer->host(), p.value.data(), p.value.size() * 4);
  for (Parameter& p : parameters_) {
    const Weight& w = p.seen;
    if (w.out == 1 && w.experts == 1) {
      auto* to = reinterpret_cast<float*>(w.buffer->host());
      for (int64_t i = 0; i < w.in; ++i) to[i] = p.value[static_cast<size_t>(i)] * p.factor;
      continue;
    }
    pool.parallel_for(w.experts * w.panels(), 1, [&](int64_t begin, int64_t end, int) {
      std::vector<float> scaled(p.factor == 1.0f ? 0 : static_cast<size_t>(kPanelRows * w.in));
      std::vector<std::byte> blocks(static_cast<size_t>(kPanelRows * w.in * w.format->block_bytes));
      for (int64_t at = begin; at < end; ++at) {
        const int64_t expert = at / w.panels(), panel = at % w.panels();
        const int64_t first = panel * kPanelRows, count = std::min<int64_t>(kPanelRows, w.out - first);
        const float* from = p.value.data() + (expert * w.out + first) * w.in;
        if (!scaled.empty()) {
          for (int64_t i = 0; i < count * w.in; ++i) scaled[static_cast<size_t>(i)] = from[i] * p.factor;
          from = scaled.data();
        }
        w.format->encode(from, count * w.in, blocks.data());
        const std::byte* rows[kPanelRows] = {};
        for (int64_t r = 0; r < count; ++r) rows[r] = blocks.data() + r * w.in * w.format->block_bytes;
        pack_panel(w, expert, panel, rows);
      }
    });
  }
}

}  // namespace landfall
