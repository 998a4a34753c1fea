// RMS norm: y = x / sqrt(mean(x²) + eps) * weight, over the last axis. Zhang & Sennrich, arXiv 1910.07467.
#include "tensor/gradients.h"
#include "tensor/ops/common.h"
#define LANDFALL_TARGET_FILE "tensor/ops/rms_norm.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
extern const Operator k_rms_norm;

Tensor rms_norm(Ctx& ctx, const Tensor& x, const Weight& weight, float epsilon) {
  const Weight* w[] = {&weight};
  return call_one(ctx, k_rms_norm, {&x, 1}, w, Attrs::of(epsilon));
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].last() == c.weights[0]->in && c.in[0].rank <= 3, c.weights[0]->name);
  c.out[0] = same_shape(c.in[0]);
}

void reference(Ctx&, OpCall& c) {
  const int64_t n = c.in[0].last();
  const float* w = vector_data(*c.weights[0]);
  std::vector<double> x = load_doubles(c.in[0]);
  for (size_t at = 0; at < x.size(); at += static_cast<size_t>(n)) {
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) squares += x[at + i] * x[at + i];
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(n) + c.attrs.as<float>());
    for (int64_t i = 0; i < n; ++i) x[at + i] *= scale * w[i];
  }
  store_doubles(c.out[0], x);
}

// With s = 1/sqrt(mean(x²)+eps): dx = s (g w - x s² mean(g w x)), dw = sum g x s.
void backward(Ctx&, const GradCall& g) {
  const OpCall& c = g.call;
  const int64_t n = c.in[0].last();
  const float* w = vector_data(*c.weights[0]);
  const std::vector<double> x = load_doubles(c.in[0]), up = load_doubles(g.grad_out[0]);
  std::vector<double> grad_x(x.size()), grad_w(static_cast<size_t>(n));
  for (size_t at = 0; at < x.size(); at += static_cast<size_t>(n)) {
    double squares = 0, product = 0;
    for (int64_t i = 0; i < n; ++i) {
      squares += x[at + i] * x[at + i];
      product += up[at + i] * w[i] * x[at + i];
    }
    const double s = 1.0 / std::sqrt(squares / static_cast<double>(n) + c.attrs.as<float>());
    for (int64_t i = 0; i < n; ++i) {
      grad_x[at + i] = s * (up[at + i] * w[i] - x[at + i] * s * s * product / static_cast<double>(n));
      grad_w[i] += up[at + i] * x[at + i] * s;
    }
  }
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], grad_x);
  if (g.grad_weights[0]) add_doubles(*g.grad_weights[0], grad_w);
}

Cost cost(const Ctx&, const OpCall& c) {
  return {.operations = 4.0 * static_cast<double>(c.in[0].elements()),
          .weight_bytes = weight_read_bytes(*c.weights[0], 1)};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> out;
  for (int64_t n : {1, 16, 37, 512}) {
    // With a small epsilon the norm of one number is its sign, and the gradient what rounding leaves of a difference.
    const float epsilon = n == 1 ? 0.3f : 1e-6f;
    out.push_back({.name = std::to_string(n),
                   .runs = one_run(5),
                   .run = [n, epsilon](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                     return {rms_norm(ctx, in.tensor(ctx, {5, 3, n}), in.vector(n, 0.5, 1.5), epsilon)};
                   }});
  }
  out.push_back({.name = "large values",
                 .runs = one_run(2),
                 .run = [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                   return {rms_norm(ctx, in.tensor(ctx, {2, 64}, -1e15, 1e15), in.vector(64, 0.5, 1.5), 1e-6f)};
                 },
                 .differentiable = false});
  return out;
}

constexpr Kernel kKernels[] = {LANDFALL_KERNELS(rms_norm_kernel)};
constexpr GradKernel kBackward[] = {LANDFALL_KERNELS(rms_norm_backward)};

std::vector<std::pair<std::string, double>> settings(const Attrs& a) { return {{"epsilon", a.as<float>()}}; }

}  // namespace

const Operator k_rms_norm = {.name = "rms_norm",
                             .infer = infer,
                             .reference = reference,
                             .backward = backward,
                             .backward_kernels = kBackward,
                             .cost = cost,
                             .settings = settings,
                             .kernels = kKernels,
                             .cases = cases};

}  // namespace landfall
