// SwiGLU: silu(gate) * up with silu(x) = x / (1 + e^-x). Shazeer, arXiv 2002.05202.
#include "tensor/ops/common.h"
#define LANDFALL_TARGET_FILE "tensor/ops/swiglu.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
extern const Operator k_swiglu;

Tensor swiglu(Ctx& ctx, const Tensor& gate, const Tensor& up) {
  const Tensor in[] = {gate, up};
  return call_one(ctx, k_swiglu, in, {});
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].shape == c.in[1].shape && c.in[0].contiguous() && c.in[1].contiguous());
  c.out[0] = same_shape(c.in[0]);
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

void reference(Ctx&, OpCall& c) {
  std::vector<double> gate = load_doubles(c.in[0]);
  const std::vector<double> up = load_doubles(c.in[1]);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] *= sigmoid(gate[i]) * up[i];
  store_doubles(c.out[0], gate);
}

void backward(Ctx&, const GradCall& g) {
  const std::vector<double> gate = load_doubles(g.call.in[0]), up = load_doubles(g.call.in[1]);
  std::vector<double> grad_gate = load_doubles(g.grad_out[0]), grad_up = grad_gate;
  for (size_t i = 0; i < gate.size(); ++i) {
    const double s = sigmoid(gate[i]);
    grad_gate[i] *= up[i] * s * (1.0 + gate[i] * (1.0 - s));
    grad_up[i] *= gate[i] * s;
  }
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], grad_gate);
  if (g.grad_in[1].buffer) add_doubles(g.grad_in[1], grad_up);
}

Cost cost(const Ctx&, const OpCall& c) { return {.operations = 5.0 * static_cast<double>(c.in[0].elements())}; }

std::vector<OpCase> cases() {
  auto make = [](std::string name, int64_t n, double range, bool differentiable) {
    return OpCase{.name = std::move(name),
                  .runs = one_run(3),
                  .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                    const Tensor gate = in.tensor(ctx, {3, n}, -range, range);
                    return {swiglu(ctx, gate, in.tensor(ctx, {3, n}))};
                  },
                  .differentiable = differentiable};
  };
  return {make("small", 5, 4, true), make("whole vectors", 64, 4, true), make("large values", 50, 90, false)};
}

constexpr Kernel kKernels[] = {LANDFALL_KERNELS(swiglu_kernel)};
constexpr GradKernel kBackward[] = {LANDFALL_KERNELS(swiglu_backward)};

}  // namespace

const Operator k_swiglu = {.name = "swiglu",
                           .infer = infer,
                           .reference = reference,
                           .backward = backward,
                           .backward_kernels = kBackward,
                           .cost = cost,
                           .kernels = kKernels,
                           .cases = cases};

}  // namespace landfall
