#include "tensor/profile.h"

#include <algorithm>
#include <charconv>

#include "tensor/format.h"

namespace landfall {
namespace {

// "blk.12.attn_q.weight" or "model.layers.12.self_attn.q_proj.weight": the number, and where the rest begins.
int32_t layer_of(std::string_view name, size_t& rest) {
  for (std::string_view prefix : {"blk.", "model.layers."}) {
    if (!name.starts_with(prefix)) continue;
    int32_t layer = -1;
    const auto end = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), layer);
    rest = static_cast<size_t>(end.ptr - name.data()) + 1;
    return layer;
  }
  rest = 0;
  return -1;
}

const Weight* first_weight(const OpCall& call) {
  for (const Weight* w : call.weights) {
    if (w) return w;
  }
  return nullptr;
}

Activation kind_of(const Ctx& ctx, const OpCall& call) {
  const Weight* w = first_weight(call);
  if (!w) return call.op->name == "attention" ? Activation::bf16 : Activation::f32;  // the cache is kept in bf16
  if (ctx.device.exact || ctx.device.kernels == KernelSet::reference || w->out == 1) return Activation::f32;
  return kernels_for(*w->format, ctx.device.kernels).kind;
}

Cost cost_of(const Ctx& ctx, const OpCall& call) {
  CountReader counter;
  Ctx counted{counter, ctx.device, ctx.pool,      ctx.arena,       ctx.batch,
              ctx.kv,  ctx.tokens, ctx.positions, ctx.logits_rows, ctx.hidden};
  std::vector<Tensor> out(call.out.begin(), call.out.end());
  OpCall copy = call;
  copy.out = out;
  counter.call(counted, copy);
  return counter.total();
}

}  // namespace

void ProfileReader::call(Ctx& ctx, OpCall& call) {
  const Operator& op = *call.op;
  const bool expands = op.expand && (op.kernels.empty() || ctx.device.kernels == KernelSet::reference);
  if (inside_ || op.view || expands) return run_.call(ctx, call);
  const Weight* w = first_weight(call);
  size_t rest;
  if (w) layer_ = layer_of(w->name, rest);
  Event event{
      &op, w ? std::string_view(w->name) : std::string_view(), layer_, kind_of(ctx, call), 0, 0, cost_of(ctx, call)};
  inside_ = true;
  event.start = env_->seconds();
  run_.call(ctx, call);
  event.seconds = env_->seconds() - event.start;
  inside_ = false;
  events_.push_back(event);
}

double ProfileReader::seconds() const {
  double sum = 0;
  for (const Event& event : events_) sum += event.seconds;
  return sum;
}

std::vector<ProfileRow> profile_rows(const std::vector<ProfileReader::Event>& events) {
  std::vector<ProfileRow> out;
  for (const ProfileReader::Event& event : events) {
    size_t rest;
    (void)layer_of(event.weight, rest);
    std::string_view weight = event.weight.substr(std::min(rest, event.weight.size()));
    if (weight.ends_with(".weight")) weight.remove_suffix(7);
    const std::string name = std::string(event.op->name) + (weight.empty() ? "" : " ") + std::string(weight);
    auto row = std::find_if(out.begin(), out.end(), [&](const ProfileRow& r) { return r.name == name; });
    if (row == out.end()) row = out.insert(out.end(), ProfileRow{name, 0, event.kind, 0, {}});
    ++row->calls;
    row->seconds += event.seconds;
    row->cost.operations += event.cost.operations;
    row->cost.weight_bytes += event.cost.weight_bytes;
    row->cost.cache_bytes += event.cost.cache_bytes;
  }
  return out;
}

double Limits::seconds(const Cost& cost, Activation kind) const {
  const double peak = kind == Activation::int8 ? int8 : kind == Activation::bf16 ? bf16 : f32;
  return std::max(cost.operations / peak, (cost.weight_bytes + cost.cache_bytes) / bandwidth);
}

}  // namespace landfall
