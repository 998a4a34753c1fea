// A gated feed-forward block: down(swiglu(gate(x), up(x))). Shazeer, arXiv 2002.05202.
#include "tensor/gated.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_feed_forward;

Tensor feed_forward(Ctx& ctx, const Tensor& x, const FeedForward& weights) {
  const Weight* w[] = {weights.gate, weights.up, weights.down};
  return call_one(ctx, k_feed_forward, {&x, 1}, w);
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].last() == c.weights[0]->in && c.weights[2]->in == c.weights[0]->out);
  c.out[0] = Tensor::of(result_type(c.in[0]), {c.in[0].rows(), c.weights[2]->out});
}

void expand(Ctx& ctx, OpCall& c) {
  const Tensor& x = c.in[0];
  const Tensor gate = linear(ctx, x, *c.weights[0]), up = linear(ctx, x, *c.weights[1]);
  c.out[0] = linear(ctx, swiglu(ctx, gate, up), *c.weights[2]);
}

void run(Ctx& ctx, OpCall& c) {
  const GatedRows all{{c.weights[0], c.weights[1], c.weights[2]}, 0, 0, c.in[0].rows()};
  multiply_gated(ctx, c.in[0], {&all, 1}, nullptr, nullptr, c.out[0]);
}

std::vector<OpCase> cases() {
  auto make = [](std::string format, int32_t rows, int64_t width, double tolerance) {
    return OpCase{.name = format,
                  .runs = one_run(rows),
                  .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                    const Tensor x = in.tensor(ctx, {rows, width});
                    const Weight &gate = in.weight(format, 1, 40, width), &up = in.weight(format, 1, 40, width);
                    return {feed_forward(ctx, x, {&gate, &up, &in.weight(format, 1, width, 40)})};
                  },
                  .tolerance = tolerance,
                  .differentiable = format == "F32"};
  };
  return {make("F32", 6, 20, 2e-6), make("Q8_0", 33, 96, 2e-2)};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};

}  // namespace

const Operator k_feed_forward = {
    .name = "feed_forward", .infer = infer, .expand = expand, .kernels = kKernels, .cases = cases};

}  // namespace landfall
