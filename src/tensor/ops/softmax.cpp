// Softmax over the last axis, shifted by the largest element.
#include "tensor/ops/common.h"
#define LANDFALL_TARGET_FILE "tensor/ops/softmax.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
extern const Operator k_softmax;

Tensor softmax(Ctx& ctx, const Tensor& x) { return call_one(ctx, k_softmax, {&x, 1}, {}); }

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].contiguous() && c.in[0].last() > 0);
  c.out[0] = same_shape(c.in[0]);
}

void reference(Ctx&, OpCall& c) {
  const auto n = static_cast<size_t>(c.in[0].last());
  std::vector<double> x = load_doubles(c.in[0]);
  for (size_t at = 0; at < x.size(); at += n) {
    const double most = *std::max_element(x.begin() + at, x.begin() + at + n);
    double total = 0;
    for (size_t i = at; i < at + n; ++i) total += x[i] = std::exp(x[i] - most);
    for (size_t i = at; i < at + n; ++i) x[i] /= total;
  }
  store_doubles(c.out[0], x);
}

void backward(Ctx&, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const auto n = static_cast<size_t>(g.call.in[0].last());
  const std::vector<double> y = load_doubles(g.call.out[0]);
  std::vector<double> up = load_doubles(g.grad_out[0]);
  for (size_t at = 0; at < y.size(); at += n) {
    double mean = 0;
    for (size_t i = at; i < at + n; ++i) mean += up[i] * y[i];
    for (size_t i = at; i < at + n; ++i) up[i] = y[i] * (up[i] - mean);
  }
  add_doubles(g.grad_in[0], up);
}

Cost cost(const Ctx&, const OpCall& c) { return {.operations = 5.0 * static_cast<double>(c.in[0].elements())}; }

std::vector<OpCase> cases() {
  auto make = [](std::string name, int64_t n, double range) {
    return OpCase{
        .name = std::move(name), .runs = one_run(4), .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
          return {softmax(ctx, in.tensor(ctx, {4, n}, -range, range))};
        }};
  };
  return {make("one", 1, 3), make("odd", 37, 3), make("whole vectors", 64, 3), make("wide range", 50, 60)};
}

constexpr Kernel kKernels[] = {LANDFALL_KERNELS(softmax_kernel)};
constexpr GradKernel kBackward[] = {LANDFALL_KERNELS(softmax_backward)};

}  // namespace

const Operator k_softmax = {.name = "softmax",
                            .infer = infer,
                            .reference = reference,
                            .backward = backward,
                            .backward_kernels = kBackward,
                            .cost = cost,
                            .kernels = kKernels,
                            .cases = cases};

}  // namespace landfall
