// Elementwise sum of two tensors of one shape.
#include "tensor/gradients.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_add;

Tensor add(Ctx& ctx, const Tensor& a, const Tensor& b) {
  const Tensor in[] = {a, b};
  return call_one(ctx, k_add, in, {});
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].shape == c.in[1].shape && c.in[0].contiguous() && c.in[1].contiguous());
  c.out[0] = same_shape(c.in[0]);
}

void reference(Ctx&, OpCall& c) {
  std::vector<double> a = load_doubles(c.in[0]);
  const std::vector<double> b = load_doubles(c.in[1]);
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  store_doubles(c.out[0], a);
}

void run(Ctx& ctx, OpCall& c) {
  const float *a = data<float>(c.in[0]), *b = data<float>(c.in[1]);
  float* out = data<float>(c.out[0]);
  ctx.pool.parallel_for(c.in[0].elements(), 1 << 14, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) out[i] = a[i] + b[i];
  });
}

void backward(Ctx&, const GradCall& g) {
  const std::vector<double> up = load_doubles(g.grad_out[0]);
  for (const Tensor& grad : g.grad_in) {
    if (grad.buffer) add_doubles(grad, up);
  }
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  for (const Tensor& grad : g.grad_in) {
    if (grad.buffer) add_tensor(ctx, grad, g.grad_out[0]);
  }
}

Cost cost(const Ctx&, const OpCall& c) { return {.operations = static_cast<double>(c.in[0].elements())}; }

std::vector<OpCase> cases() {
  return {{.name = "odd size", .runs = one_run(3), .run = [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
             const Tensor a = in.tensor(ctx, {3, 11});
             return {add(ctx, a, in.tensor(ctx, {3, 11}))};
           }}};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

}  // namespace

const Operator k_add = {.name = "add",
                        .infer = infer,
                        .reference = reference,
                        .backward = backward,
                        .backward_kernels = kBackward,
                        .cost = cost,
                        .kernels = kKernels,
                        .cases = cases};

}  // namespace landfall
