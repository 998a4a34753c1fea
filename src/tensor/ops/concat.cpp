// Joins along the last axis: [..., a] and [..., b] -> [..., a + b]; a second input [R, b] is repeated for each head.
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_concat;

Tensor concat(Ctx& ctx, const Tensor& a, const Tensor& b) {
  const Tensor in[] = {a, b};
  return call_one(ctx, k_concat, in, {});
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const Tensor &a = c.in[0], &b = c.in[1];
  LANDFALL_CHECK(a.rows() == b.rows() && (b.rank == 2 || (a.rank == b.rank && a.shape[1] == b.shape[1])));
  c.out[0] = a.rank == 2 ? Tensor::of(result_type(a), {a.rows(), a.last() + b.last()})
                         : Tensor::of(result_type(a), {a.rows(), a.shape[1], a.last() + b.last()});
}

// Heads of the first input, and of the second (1 when it is repeated).
std::pair<int64_t, int64_t> heads_of(const OpCall& c) {
  return {c.in[0].rank == 3 ? c.in[0].shape[1] : 1, c.in[1].rank == 3 ? c.in[1].shape[1] : 1};
}

void reference(Ctx&, OpCall& c) {
  const int64_t na = c.in[0].last(), nb = c.in[1].last();
  const auto [heads, b_heads] = heads_of(c);
  const std::vector<double> a = load_doubles(c.in[0]), b = load_doubles(c.in[1]);
  std::vector<double> out;
  for (int64_t t = 0; t < c.in[0].rows() * heads; ++t) {
    const int64_t tb = b_heads == heads ? t : t / heads;
    out.insert(out.end(), a.begin() + t * na, a.begin() + (t + 1) * na);
    out.insert(out.end(), b.begin() + tb * nb, b.begin() + (tb + 1) * nb);
  }
  store_doubles(c.out[0], out);
}

void run(Ctx& ctx, OpCall& c) {
  const Tensor &a = c.in[0], &b = c.in[1];
  const int64_t na = a.last(), nb = b.last(), heads = heads_of(c).first;
  ctx.pool.parallel_for(a.rows(), 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        float* out = data<float>(c.out[0]) + (r * heads + h) * (na + nb);
        std::memcpy(out, data<float>(a) + r * a.stride[0] + (a.rank == 3 ? h * a.stride[1] : 0),
                    static_cast<size_t>(na) * 4);
        std::memcpy(out + na, data<float>(b) + r * b.stride[0] + (b.rank == 3 ? h * b.stride[1] : 0),
                    static_cast<size_t>(nb) * 4);
      }
    }
  });
}

void backward(Ctx&, const GradCall& g) {
  const OpCall& c = g.call;
  const int64_t na = c.in[0].last(), nb = c.in[1].last();
  const auto [heads, b_heads] = heads_of(c);
  const std::vector<double> up = load_doubles(g.grad_out[0]);
  std::vector<double> grad_a(static_cast<size_t>(c.in[0].elements())), grad_b(static_cast<size_t>(c.in[1].elements()));
  for (int64_t t = 0; t < c.in[0].rows() * heads; ++t) {
    const int64_t tb = b_heads == heads ? t : t / heads;
    for (int64_t i = 0; i < na; ++i) grad_a[t * na + i] += up[t * (na + nb) + i];
    for (int64_t i = 0; i < nb; ++i) grad_b[tb * nb + i] += up[t * (na + nb) + na + i];
  }
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], grad_a);
  if (g.grad_in[1].buffer) add_doubles(g.grad_in[1], grad_b);
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  const OpCall& c = g.call;
  const int64_t na = c.in[0].last(), nb = c.in[1].last();
  const auto [heads, b_heads] = heads_of(c);
  const bool repeated = b_heads != heads;
  auto add = [](const float* from, int64_t n, float* to) {
    for (int64_t i = 0; i < n; ++i) to[i] += from[i];
  };
  ctx.pool.parallel_for(c.in[0].rows(), 16, [&, heads = heads](int64_t begin, int64_t end, int) {
    for (int64_t t = begin * heads; t < end * heads; ++t) {
      const float* up = data<float>(g.grad_out[0]) + t * (na + nb);
      if (g.grad_in[0].buffer) add(up, na, data<float>(g.grad_in[0]) + t * na);
      if (g.grad_in[1].buffer) add(up + na, nb, data<float>(g.grad_in[1]) + (repeated ? t / heads : t) * nb);
    }
  });
}

std::vector<OpCase> cases() {
  return {{.name = "per head",
           .runs = one_run(3),
           .run = [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
             const Tensor a = in.tensor(ctx, {3, 2, 5});
             return {concat(ctx, a, in.tensor(ctx, {3, 2, 4}))};
           }},
          {.name = "repeated", .runs = one_run(3), .run = [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
             const Tensor a = in.tensor(ctx, {3, 2, 5});
             return {concat(ctx, a, in.tensor(ctx, {3, 4}))};
           }}};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

}  // namespace

const Operator k_concat = {.name = "concat",
                           .infer = infer,
                           .reference = reference,
                           .backward = backward,
                           .backward_kernels = kBackward,
                           .kernels = kKernels,
                           .cases = cases};

}  // namespace landfall
