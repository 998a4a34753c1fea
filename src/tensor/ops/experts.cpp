// Grouped experts: sum over the chosen experts of weight * down(swiglu(gate(x), up(x))), plus a shared block where
// there is one. DeepSeekMoE, arXiv 2401.06066.
#include "tensor/gated.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_experts;

Tensor experts(Ctx& ctx, const Tensor& x, const Routing& routing, const FeedForward& weights,
               const FeedForward& shared) {
  const Tensor in[] = {x, routing.ids, routing.weights};
  const Weight* w[] = {weights.gate, weights.up, weights.down, shared.gate, shared.up, shared.down};
  return call_one(ctx, k_experts, in, w);
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].last() == c.weights[2]->out);
  LANDFALL_CHECK(!c.weights[3] || (c.weights[3]->in == c.weights[0]->in && c.weights[5]->out == c.weights[2]->out));
  c.out[0] = same_shape(c.in[0]);
}

void expand(Ctx& ctx, OpCall& c) {
  const Tensor &x = c.in[0], &ids = c.in[1];
  const Tensor gate = expert_linear(ctx, x, ids, *c.weights[0]);
  const Tensor up = expert_linear(ctx, x, ids, *c.weights[1]);
  const Tensor down = expert_linear(ctx, swiglu(ctx, gate, up), ids, *c.weights[2]);
  const Tensor routed = combine(ctx, down, c.in[2]);
  c.out[0] = c.weights[3] ? add(ctx, routed, feed_forward(ctx, x, {c.weights[3], c.weights[4], c.weights[5]})) : routed;
}

// Rows sorted by expert, so that each expert's weights are read once for all of its rows. The shared block comes last.
void run(Ctx& ctx, OpCall& c) {
  const Tensor &x = c.in[0], &ids = c.in[1];
  const int64_t rows = x.rows(), chosen = ids.last(), total = rows * chosen, experts = c.weights[0]->experts;
  const bool shared = c.weights[3] != nullptr;
  const int32_t* id = data<int32_t>(ids);
  const Arena::Mark mark = ctx.arena.mark();
  auto numbers = [&](int64_t n) { return reinterpret_cast<int32_t*>(ctx.arena.scratch(static_cast<size_t>(n) * 4)); };
  int32_t *start = numbers(experts + 1), *row = numbers(total + rows);
  auto* weight = reinterpret_cast<float*>(numbers(total + rows));
  auto* work = reinterpret_cast<GatedRows*>(ctx.arena.scratch(static_cast<size_t>(experts + 1) * sizeof(GatedRows)));
  std::fill(start, start + experts + 1, 0);
  for (int64_t t = 0; t < total; ++t) ++start[id[t] + 1];
  size_t blocks = 0;
  for (int64_t e = 0; e < experts; ++e) {
    start[e + 1] += start[e];
    const int64_t count = start[e + 1] - start[e];
    if (count > 0) work[blocks++] = {{c.weights[0], c.weights[1], c.weights[2]}, e, start[e], count};
  }
  for (int64_t t = 0; t < total; ++t) {
    const int32_t at = start[id[t]]++;
    row[at] = static_cast<int32_t>(t / chosen);
    weight[at] = data<float>(c.in[2])[t];
  }
  for (int64_t r = 0; r < rows * shared; ++r) {
    row[total + r] = static_cast<int32_t>(r);
    weight[total + r] = 1.0f;
  }
  if (shared && rows > 0) work[blocks++] = {{c.weights[3], c.weights[4], c.weights[5]}, 0, total, rows};
  multiply_gated(ctx, x, {work, blocks}, row, weight, c.out[0]);
  ctx.arena.rewind(mark);
}

std::vector<OpCase> cases() {
  auto make = [](std::string format, int32_t rows, int64_t width, bool shared, double tolerance) {
    return OpCase{.name = format + (shared ? ", shared block" : ""),
                  .runs = one_run(rows),
                  .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                    const Tensor x = in.tensor(ctx, {rows, width});
                    const Routing routing{in.ids(ctx, {rows, 2}, 4), in.tensor(ctx, {rows, 2}, 0, 1)};
                    auto block = [&](int64_t experts, int64_t middle) {
                      const Weight& gate = in.weight(format, experts, middle, width);
                      const Weight& up = in.weight(format, experts, middle, width);
                      return FeedForward{&gate, &up, &in.weight(format, experts, width, middle)};
                    };
                    const FeedForward weights = block(4, 32);
                    return {experts(ctx, x, routing, weights, shared ? block(1, 48) : FeedForward{})};
                  },
                  .tolerance = tolerance,
                  .differentiable = format == "F32"};
  };
  return {make("F32", 6, 20, false, 2e-6), make("F32", 6, 20, true, 2e-6), make("Q8_0", 6, 64, false, 2e-2),
          make("Q4_0", 70, 64, true, 2e-2)};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};

}  // namespace

const Operator k_experts = {.name = "experts", .infer = infer, .expand = expand, .kernels = kKernels, .cases = cases};

}  // namespace landfall
