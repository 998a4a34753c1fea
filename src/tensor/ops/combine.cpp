// Weighted sum of the experts' results in order of k: y[r] = sum over k of weights[r][k] * x[r][k].
#include "tensor/ops/common.h"
#define LANDFALL_TARGET_FILE "tensor/ops/combine.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
extern const Operator k_combine;

Tensor combine(Ctx& ctx, const Tensor& x, const Tensor& weights) {
  const Tensor in[] = {x, weights};
  return call_one(ctx, k_combine, in, {});
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const Tensor &x = c.in[0], &w = c.in[1];
  LANDFALL_CHECK(x.rank == 3 && w.rank == 2 && w.rows() == x.rows() && w.last() == x.shape[1] && x.contiguous());
  c.out[0] = Tensor::of(result_type(x), {x.rows(), x.last()});
}

void reference(Ctx&, OpCall& c) {
  const int64_t n = c.in[0].last(), k = c.in[1].last();
  const std::vector<double> x = load_doubles(c.in[0]), w = load_doubles(c.in[1]);
  std::vector<double> y(static_cast<size_t>(c.out[0].elements()));
  for (size_t at = 0; at < w.size(); ++at)
    for (int64_t i = 0; i < n; ++i) y[at / k * n + i] += w[at] * x[at * n + i];
  store_doubles(c.out[0], y);
}

void run(Ctx& ctx, OpCall& c) {
  const int64_t n = c.in[0].last(), k = c.in[1].last();
  ctx.pool.parallel_for(c.in[0].rows(), 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      float* y = data<float>(c.out[0]) + r * n;
      std::fill(y, y + n, 0.0f);
      for (int64_t j = 0; j < k; ++j) {
        const float w = data<float>(c.in[1])[r * k + j];
        const float* x = data<float>(c.in[0]) + (r * k + j) * n;
        for (int64_t i = 0; i < n; ++i) y[i] += w * x[i];
      }
    }
  });
}

void backward(Ctx&, const GradCall& g) {
  const int64_t n = g.call.in[0].last(), k = g.call.in[1].last();
  const std::vector<double> x = load_doubles(g.call.in[0]), w = load_doubles(g.call.in[1]),
                            up = load_doubles(g.grad_out[0]);
  std::vector<double> grad_x(x.size()), grad_w(w.size());
  for (size_t at = 0; at < w.size(); ++at) {
    for (int64_t i = 0; i < n; ++i) {
      grad_x[at * n + i] = w[at] * up[at / k * n + i];
      grad_w[at] += x[at * n + i] * up[at / k * n + i];
    }
  }
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], grad_x);
  if (g.grad_in[1].buffer) add_doubles(g.grad_in[1], grad_w);
}

Cost cost(const Ctx&, const OpCall& c) { return {.operations = 2.0 * static_cast<double>(c.in[0].elements())}; }

std::vector<OpCase> cases() {
  return {{.name = "three of width 21", .runs = one_run(4), .run = [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
             const Tensor x = in.tensor(ctx, {4, 3, 21});
             return {combine(ctx, x, in.tensor(ctx, {4, 3}))};
           }}};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {LANDFALL_KERNELS(combine_backward)};

}  // namespace

const Operator k_combine = {.name = "combine",
                            .infer = infer,
                            .reference = reference,
                            .backward = backward,
                            .backward_kernels = kBackward,
                            .cost = cost,
                            .kernels = kKernels,
                            .cases = cases};

}  // namespace landfall
