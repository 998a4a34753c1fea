// The train reading of a forward pass: every operator is computed as when running, and recorded; backward() then walks
// the records from last to first and adds up gradients. Fusions without a gradient of their own are recorded as the
// smaller operators that they expand to. There is no cache: a run's rows see only their own run.
//
// Ownership: results and gradients of tensors live in the tape's own memory until forget(); gradients of weights until
// zero_gradients(). Tensors that were not made under the tape, the batch and the weights must outlive the records.
// For activation checkpointing a driver keeps the states between layers, and going back calls each layer again under
// the forgotten tape: watch(state), layer, backward with the next layer's gradient. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "tensor/operator.h"

namespace landfall {

class Tape : public Reader {
 public:
  using Trains = std::function<bool(const Weight&)>;
  // Gradients are made for the weights that `trains` accepts; of all weights when it is empty. What depends on no
  // such weight and no watched tensor is not recorded.
  // `sums`: another tape, which then keeps the gradients of weights for this one too.
  explicit Tape(Trains trains = {}, Tape* sums = nullptr) : trains_(std::move(trains)), sums_(sums) {}

  void call(Ctx& ctx, OpCall& call) override;

  // Makes a tensor of numbers an input whose gradient is wanted.
  void watch(Tensor& input);

  // Calls visit(call) for what is recorded of an operator, in order; for those who look at what a pass computed.
  void each(const Operator& op, const std::function<void(const OpCall& call)>& visit);

  // Gradient of some scalar with respect to an output that was made under this tape; same shape.
  struct Seed {
    Tensor output, gradient;
  };
  // ctx: the one of the forward pass. Gradients of tensors are those of the last call, gradients of weights add up.
  void backward(Ctx& ctx, std::span<const Seed> seeds);

  // Dense, f64 when the device's set is the reference, else f32; without memory where no seed has reached.
  Tensor gradient(const Tensor& tensor) const;
  Tensor weight_gradient(uint32_t id) const;  // [experts, out, in]

  // Drops records, results and gradients of tensors; tensors made so far are constants from now on.
  void forget();
  void zero_gradients();  // their memory is kept
  // Of results and gradients of tensors, at most so far.
  size_t peak_bytes() const { return arena_.peak(); }

 private:
  struct Node {
    Tensor tensor;
    Tensor gradient;  // without memory until something is added
  };
  struct Record {
    const Operator* op;
    std::vector<Tensor> in, out;
    std::vector<const Weight*> weights;
    Attrs attrs;
  };
  struct WeightGradient {
    Tensor tensor;
    std::unique_ptr<Buffer> memory;
  };

  bool is_trainable(const Weight* weight) const { return weight && (!trains_ || trains_(*weight)); }
  Node* node_of(const Tensor& tensor);
  int32_t add_node(const Tensor& tensor);
  Tensor& gradient_of(Ctx& ctx, Node& node);
  Tensor& gradient_of(const Ctx& ctx, const Weight& weight);
  Ctx own_ctx(const Ctx& ctx);

  Trains trains_;
  Tape* sums_;
  RunReader run_;
  Arena arena_;
  int32_t forgotten_ = 0;  // nodes up to this one are constants; numbers are never used twice
  std::vector<Node> nodes_;
  std::vector<Record> records_;
  std::map<uint32_t, WeightGradient> weight_gradients_;
};

}  // namespace landfall
