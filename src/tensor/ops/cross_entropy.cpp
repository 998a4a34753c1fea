// Cross-entropy of each row with its target: log sum exp(x) - x[target]; the gradient is softmax(x) less one at the
// target.
#include "tensor/ops/common.h"
#define LANDFALL_TARGET_FILE "tensor/ops/cross_entropy.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
extern const Operator k_cross_entropy;

Tensor cross_entropy(Ctx& ctx, const Tensor& x, const Tensor& targets) {
  const Tensor in[] = {x, targets};
  return call_one(ctx, k_cross_entropy, in, {});
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].rank == 2 && c.in[0].contiguous() && c.in[0].last() > 0 && c.in[1].type == DType::i32 &&
                     c.in[1].elements() == c.in[0].rows(),
                 c.in[0].shape_text());
  c.out[0] = Tensor::of(result_type(c.in[0]), {c.in[0].rows()});
}

struct Row {
  double most, total;
};

Row row_of(const double* x, size_t n) {
  Row out{*std::max_element(x, x + n), 0};
  for (size_t i = 0; i < n; ++i) out.total += std::exp(x[i] - out.most);
  return out;
}

void reference(Ctx&, OpCall& c) {
  const auto n = static_cast<size_t>(c.in[0].last());
  const std::vector<double> x = load_doubles(c.in[0]), target = load_doubles(c.in[1]);
  std::vector<double> loss(target.size());
  for (size_t r = 0; r < loss.size(); ++r) {
    const Row row = row_of(x.data() + r * n, n);
    loss[r] = std::log(row.total) + row.most - x[r * n + static_cast<size_t>(target[r])];
  }
  store_doubles(c.out[0], loss);
}

void backward(Ctx&, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const auto n = static_cast<size_t>(g.call.in[0].last());
  const std::vector<double> x = load_doubles(g.call.in[0]), target = load_doubles(g.call.in[1]),
                            up = load_doubles(g.grad_out[0]);
  std::vector<double> grad(x.size());
  for (size_t r = 0; r < target.size(); ++r) {
    const Row row = row_of(x.data() + r * n, n);
    for (size_t i = 0; i < n; ++i) grad[r * n + i] = up[r] * std::exp(x[r * n + i] - row.most) / row.total;
    grad[r * n + static_cast<size_t>(target[r])] -= up[r];
  }
  add_doubles(g.grad_in[0], grad);
}

Cost cost(const Ctx&, const OpCall& c) { return {.operations = 4.0 * static_cast<double>(c.in[0].elements())}; }

std::vector<OpCase> cases() {
  auto make = [](std::string name, int32_t rows, int64_t n, double range) {
    return OpCase{
        .name = std::move(name), .runs = one_run(rows), .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
          const Tensor x = in.tensor(ctx, {rows, n}, -range, range);
          return {cross_entropy(ctx, x, in.ids(ctx, {rows}, n))};
        }};
  };
  return {make("two", 3, 2, 3), make("odd", 5, 37, 3), make("whole vectors", 3, 64, 3), make("wide range", 4, 50, 40)};
}

constexpr Kernel kKernels[] = {LANDFALL_KERNELS(cross_entropy_kernel)};
constexpr GradKernel kBackward[] = {LANDFALL_KERNELS(cross_entropy_backward)};

}  // namespace

const Operator k_cross_entropy = {.name = "cross_entropy",
                                  .infer = infer,
                                  .reference = reference,
                                  .backward = backward,
                                  .backward_kernels = kBackward,
                                  .cost = cost,
                                  .kernels = kKernels,
                                  .cases = cases};

}  // namespace landfall
