#include "train/tape.h"

#include <algorithm>
#include <cstring>

#include "tensor/access.h"
#include "tensor/gradients.h"

namespace landfall {
namespace {

bool holds_numbers(const Tensor& t) { return t.type != DType::i32; }

// A dense tensor of the same shape in the type of gradients.
Tensor gradient_shape(const Ctx& ctx, const Tensor& t) {
  Tensor out = t;
  out.type = ctx.device.kernels == KernelSet::reference ? DType::f64 : DType::f32;
  out.node = 0;
  int64_t stride = 1;
  for (size_t i = t.rank; i-- > 0;) {
    out.stride[i] = stride;
    stride *= t.shape[i];
  }
  return out;
}

}  // namespace

// The forward pass's context with results kept by the tape, and nothing recorded.
Ctx Tape::own_ctx(const Ctx& ctx) {
  return {run_,       ctx.device,    ctx.pool,        arena_,    ctx.batch, nullptr,
          ctx.tokens, ctx.positions, ctx.logits_rows, ctx.hidden};  // weights are those of the records: no overlay
}

Tape::Node* Tape::node_of(const Tensor& tensor) {
  return tensor.node > forgotten_ ? &nodes_[static_cast<size_t>(tensor.node - forgotten_ - 1)] : nullptr;
}

int32_t Tape::add_node(const Tensor& tensor) {
  nodes_.push_back({tensor, {}});
  return forgotten_ + static_cast<int32_t>(nodes_.size());
}

void Tape::call(Ctx& ctx, OpCall& call) {
  const Operator& op = *call.op;
  LANDFALL_CHECK(ctx.kv == nullptr, "a tape knows no cache");
  if (!op.backward && op.expand) return op.expand(ctx, call);
  Ctx own = own_ctx(ctx);
  run_.call(own, call);
  const bool wanted =
      std::any_of(call.in.begin(), call.in.end(), [&](const Tensor& t) { return node_of(t) != nullptr; }) ||
      std::any_of(call.weights.begin(), call.weights.end(), [&](const Weight* w) { return is_trainable(w); });
  if (!wanted) return;
  LANDFALL_CHECK(op.backward, "operator " + std::string(op.name) + " has no gradient");
  for (Tensor& out : call.out) out.node = holds_numbers(out) ? add_node(out) : 0;
  records_.push_back({&op,
                      {call.in.begin(), call.in.end()},
                      {call.out.begin(), call.out.end()},
                      {call.weights.begin(), call.weights.end()},
                      call.attrs});
}

void Tape::watch(Tensor& input) {
  LANDFALL_CHECK(holds_numbers(input), "only tensors of numbers have gradients");
  input.node = add_node(input);
}

Tensor& Tape::gradient_of(Ctx& ctx, Node& node) {
  if (!node.gradient.buffer) {
    node.gradient = gradient_shape(ctx, node.tensor);
    arena_.place(node.gradient);
    clear_tensor(ctx, node.gradient);
  }
  return node.gradient;
}

Tensor& Tape::gradient_of(const Ctx& ctx, const Weight& weight) {
  if (sums_) return sums_->gradient_of(ctx, weight);
  WeightGradient& g = weight_gradients_[weight.id];
  if (!g.memory) {
    g.tensor = gradient_shape(ctx, Tensor::of(DType::f32, {weight.experts, weight.out, weight.in}));
    g.memory = Buffer::allocate(static_cast<size_t>(g.tensor.elements() * size_of(g.tensor.type)));
    LANDFALL_CHECK(g.memory != nullptr, "no memory for the gradient of " + weight.name);
    g.tensor.buffer = g.memory.get();
    g.tensor.offset = 0;
  }
  return g.tensor;
}

void Tape::zero_gradients() {
  for (auto& [id, g] : weight_gradients_) std::memset(g.memory->host(), 0, g.memory->size());
}

void Tape::backward(Ctx& ctx, std::span<const Seed> seeds) {
  Ctx own = own_ctx(ctx);
  for (Node& node : nodes_) node.gradient = {};
  for (const Seed& seed : seeds) {
    Node* node = node_of(seed.output);
    LANDFALL_CHECK(node != nullptr, "a seed for a tensor that is not on the tape");
    const Tensor& gradient = gradient_of(ctx, *node);
    if (gradient.type == DType::f32 && seed.gradient.type == DType::f32) {
      add_tensor(own, gradient, seed.gradient);
    } else {
      add_doubles(gradient, load_doubles(seed.gradient));
    }
  }
  std::vector<Tensor> grad_out, grad_in;
  std::vector<Tensor*> grad_weights;
  for (size_t at = records_.size(); at-- > 0;) {
    Record& r = records_[at];
    const bool reached = std::any_of(r.out.begin(), r.out.end(), [&](const Tensor& out) {
      const Node* node = node_of(out);
      return node && node->gradient.buffer;
    });
    if (!reached) continue;
    auto collect = [&](const std::vector<Tensor>& tensors, std::vector<Tensor>& gradients) {
      gradients.clear();
      for (const Tensor& t : tensors) {
        Node* node = node_of(t);
        gradients.push_back(node ? gradient_of(ctx, *node) : Tensor{});
      }
    };
    collect(r.out, grad_out);
    collect(r.in, grad_in);
    grad_weights.clear();
    for (const Weight* w : r.weights) grad_weights.push_back(is_trainable(w) ? &gradient_of(ctx, *w) : nullptr);
    const OpCall call{r.op, r.in, r.weights, r.attrs, r.out};
    run_backward(own, {call, grad_out, grad_in, grad_weights});
  }
}

void Tape::each(const Operator& op, const std::function<void(const OpCall&)>& visit) {
  for (Record& r : records_) {
    if (r.op == &op) visit({r.op, r.in, r.weights, r.attrs, r.out});
  }
}

Tensor Tape::gradient(const Tensor& tensor) const {
  const Node* node = const_cast<Tape*>(this)->node_of(tensor);
  return node ? node->gradient : Tensor{};
}

Tensor Tape::weight_gradient(uint32_t id) const {
  const auto found = weight_gradients_.find(id);
  return found == weight_gradients_.end() ? Tensor{} : found->second.tensor;
}

void Tape::forget() {
  forgotten_ += static_cast<int32_t>(nodes_.size());
  nodes_.clear();
  records_.clear();
  arena_.reset();
}

}  // namespace landfall
