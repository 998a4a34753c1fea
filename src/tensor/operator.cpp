#include "tensor/operator.h"

#include <array>
#include <cstring>

namespace landfall {

Ctx make_ctx(Reader& reader, const Device& device, ThreadPool& pool, Arena& arena, const Batch& batch, KvView* kv) {
  Ctx ctx{reader, device, pool, arena, batch, kv, {}, {}, {}};
  auto bind = [&](std::span<const int32_t> values, int32_t node) {
    Tensor t = Tensor::of(DType::i32, {static_cast<int64_t>(values.size())});
    t.node = node;
    arena.place(t);
    if (!values.empty()) std::memcpy(t.buffer->host() + t.offset, values.data(), values.size_bytes());
    return t;
  };
  ctx.tokens = bind(batch.token, kTokensNode);
  ctx.positions = bind(batch.position, kPositionsNode);
  ctx.logits_rows = bind(batch.logits_rows, kLogitsRowsNode);
  if (!batch.hidden.empty()) {
    const auto rows = static_cast<int64_t>(batch.token.size());
    ctx.hidden = Tensor::of(DType::f32, {rows, static_cast<int64_t>(batch.hidden.size()) / rows});
    ctx.hidden.node = kHiddenNode;
    arena.place(ctx.hidden);
    std::memcpy(ctx.hidden.buffer->host() + ctx.hidden.offset, batch.hidden.data(), batch.hidden.size_bytes());
  }
  return ctx;
}

namespace {

// The call with the weights that the overlay shows. A fusion over a weight with an addition is taken apart: its smaller
// operators know what to do.
void dispatch_overlaid(Ctx& ctx, OpCall& call) {
  std::array<const Weight*, kMaxWeights> seen{};
  LANDFALL_CHECK(call.weights.size() <= seen.size());
  bool added = false;
  for (size_t i = 0; i < call.weights.size(); ++i) {
    if (!call.weights[i]) continue;
    seen[i] = &ctx.overlay->seen(*call.weights[i]);
    added = added || ctx.overlay->addition(*call.weights[i]);
  }
  OpCall inner{call.op, call.in, std::span(seen).first(call.weights.size()), call.attrs, call.out};
  call.op->infer(ctx, inner);
  if (added && call.op->expand) return call.op->expand(ctx, inner);
  ctx.reader.call(ctx, inner);
}

}  // namespace

void dispatch(Ctx& ctx, OpCall& call) {
  if (ctx.overlay) return dispatch_overlaid(ctx, call);
  call.op->infer(ctx, call);
  ctx.reader.call(ctx, call);
}

void run_backward(Ctx& ctx, const GradCall& grad) {
  const Operator& op = *grad.call.op;
  if (ctx.device.kernels == KernelSet::reference || op.backward_kernels.empty()) return op.backward(ctx, grad);
  row_for(op.backward_kernels, ctx.device.kernels).run(ctx, grad);
}

void RunReader::call(Ctx& ctx, OpCall& call) {
  const Operator& op = *call.op;
  if (op.view) return;
  const bool in_double = ctx.device.kernels == KernelSet::reference;
  if (in_double || op.kernels.empty()) {
    if (op.expand) return op.expand(ctx, call);
    for (Tensor& out : call.out) {
      if (in_double && out.type == DType::f32) out.type = DType::f64;
      ctx.arena.place(out);
    }
    return op.reference(ctx, call);
  }
  for (Tensor& out : call.out) ctx.arena.place(out);
  for (const Kernel& kernel : op.kernels) {
    if (kernel.set <= ctx.device.kernels) return kernel.run(ctx, call);
  }
  LANDFALL_CHECK(false, "operator " + std::string(op.name) + " has no portable kernel");
}

void CountReader::call(Ctx& ctx, OpCall& call) {
  const Operator& op = *call.op;
  if (op.view) return;
  if (!op.cost && op.expand) return op.expand(ctx, call);
  for (const Tensor& out : call.out) {
    activation_bytes_ += static_cast<size_t>((out.elements() * size_of(out.type) + 63) / 64 * 64);
  }
  Row* row = nullptr;
  for (Row& r : rows_) {
    if (r.op == &op) row = &r;
  }
  if (!row) row = &rows_.emplace_back(Row{&op, 0, {}});
  ++row->calls;
  if (!op.cost) return;
  const Cost cost = op.cost(ctx, call);
  row->cost.operations += cost.operations;
  row->cost.weight_bytes += cost.weight_bytes;
  row->cost.cache_bytes += cost.cache_bytes;
  row->cost.scratch_bytes = std::max(row->cost.scratch_bytes, cost.scratch_bytes);
}

Cost CountReader::total() const {
  Cost out;
  for (const Row& row : rows_) {
    out.operations += row.cost.operations;
    out.weight_bytes += row.cost.weight_bytes;
    out.cache_bytes += row.cost.cache_bytes;
    out.scratch_bytes = std::max(out.scratch_bytes, row.cost.scratch_bytes);
  }
  return out;
}

}  // namespace landfall
