// Elements [first, first + count) of the last axis: a view.
#include "tensor/gradients.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_slice;

namespace {
struct Settings {
  int64_t first, count;
};
}  // namespace

Tensor slice(Ctx& ctx, const Tensor& x, int64_t first, int64_t count) {
  return call_one(ctx, k_slice, {&x, 1}, {}, Attrs::of(Settings{first, count}));
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const auto s = c.attrs.as<Settings>();
  const Tensor& x = c.in[0];
  LANDFALL_CHECK(s.first >= 0 && s.count > 0 && s.first + s.count <= x.last(), x.shape_text());
  Tensor out = x;
  out.node = 0;
  out.shape[x.rank - 1] = s.count;
  out.offset += s.first * size_of(x.type);
  c.out[0] = out;
}

void reference(Ctx&, OpCall&) {}

// The part of the input's gradient that the output's goes to.
Tensor part_of(const GradCall& g) {
  const auto s = g.call.attrs.as<Settings>();
  Tensor part = g.grad_in[0];
  part.shape[part.rank - 1] = s.count;
  part.offset += s.first * size_of(part.type);
  return part;
}

void backward(Ctx&, const GradCall& g) {
  if (g.grad_in[0].buffer) add_doubles(part_of(g), load_doubles(g.grad_out[0]));
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  if (g.grad_in[0].buffer) add_tensor(ctx, part_of(g), g.grad_out[0]);
}

constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

std::vector<OpCase> cases() {
  return {{.name = "middle of each head", .runs = one_run(3), .run = [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
             return {slice(ctx, in.tensor(ctx, {3, 2, 9}), 2, 5)};
           }}};
}

std::vector<std::pair<std::string, double>> settings(const Attrs& a) {
  const auto s = a.as<Settings>();
  return {{"first", static_cast<double>(s.first)}, {"count", static_cast<double>(s.count)}};
}

}  // namespace

const Operator k_slice = {.name = "slice",
                          .view = true,
                          .infer = infer,
                          .reference = reference,
                          .backward = backward,
                          .backward_kernels = kBackward,
                          .settings = settings,
                          .cases = cases};

}  // namespace landfall
