// The same numbers under another shape: a view.
#include "tensor/gradients.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_reshape;

namespace {
struct Settings {
  std::array<int64_t, 4> shape;
  int64_t rank;
};
}  // namespace

Tensor reshape(Ctx& ctx, const Tensor& x, std::initializer_list<int64_t> shape) {
  const Tensor out = Tensor::of(x.type, shape);
  return call_one(ctx, k_reshape, {&x, 1}, {}, Attrs::of(Settings{out.shape, out.rank}));
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const auto [s, rank] = c.attrs.as<Settings>();
  const Tensor& x = c.in[0];
  Tensor out = rank == 2   ? Tensor::of(x.type, {s[0], s[1]})
               : rank == 3 ? Tensor::of(x.type, {s[0], s[1], s[2]})
                           : Tensor::of(x.type, {s[0], s[1], s[2], s[3]});
  LANDFALL_CHECK(x.contiguous() && out.elements() == x.elements(), x.shape_text() + " to " + out.shape_text());
  out.buffer = x.buffer;
  out.offset = x.offset;
  c.out[0] = out;
}

void reference(Ctx&, OpCall&) {}

void backward(Ctx&, const GradCall& g) {
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], load_doubles(g.grad_out[0]));
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  if (g.grad_in[0].buffer) add_tensor(ctx, g.grad_in[0], g.grad_out[0]);
}

constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

std::vector<OpCase> cases() {
  return {
      {.name = "split a row into heads", .runs = one_run(3), .run = [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
         return {reshape(ctx, in.tensor(ctx, {3, 12}), {3, 4, 3})};
       }}};
}

}  // namespace

const Operator k_reshape = {.name = "reshape",
                            .view = true,
                            .infer = infer,
                            .reference = reference,
                            .backward = backward,
                            .backward_kernels = kBackward,
                            .cases = cases};

}  // namespace landfall
