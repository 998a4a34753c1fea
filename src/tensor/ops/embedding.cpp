// Embedding: out[r] = table[ids[r]].
#include "tensor/gradients.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_embedding;

Tensor embedding(Ctx& ctx, const Tensor& ids, const Weight& table) {
  const Weight* w[] = {&table};
  return call_one(ctx, k_embedding, {&ids, 1}, w);
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].type == DType::i32);
  c.out[0] = Tensor::of(DType::f32, {c.in[0].elements(), c.weights[0]->in});
}

void reference(Ctx&, OpCall& c) {
  const Weight& w = *c.weights[0];
  const std::vector<double> table = weight_doubles(w), ids = load_doubles(c.in[0]);
  std::vector<double> out;
  for (double id : ids) {
    const auto row = table.begin() + static_cast<int64_t>(id) * w.in;
    out.insert(out.end(), row, row + w.in);
  }
  store_doubles(c.out[0], out);
}

void run(Ctx& ctx, OpCall& c) {
  const Weight& w = *c.weights[0];
  ctx.pool.parallel_for(c.in[0].elements(), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r)
      unpack_rows(w, 0, data<int32_t>(c.in[0])[r], 1, data<float>(c.out[0]) + r * w.in);
  });
}

void backward(Ctx&, const GradCall& g) {
  if (!g.grad_weights[0]) return;
  const Weight& w = *g.call.weights[0];
  const std::vector<double> ids = load_doubles(g.call.in[0]), up = load_doubles(g.grad_out[0]);
  std::vector<double> grad(static_cast<size_t>(w.elements()));
  for (size_t r = 0; r < ids.size(); ++r) {
    for (int64_t i = 0; i < w.in; ++i) grad[static_cast<size_t>(ids[r]) * w.in + i] += up[r * w.in + i];
  }
  add_doubles(*g.grad_weights[0], grad);
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  if (!g.grad_weights[0]) return;
  const int32_t* id = data<int32_t>(g.call.in[0]);
  add_rows(ctx, data<float>(g.grad_out[0]), g.call.in[0].elements(), g.call.weights[0]->in,
           data<float>(*g.grad_weights[0]), [&](int64_t r) { return id[r]; });
}

Cost cost(const Ctx&, const OpCall& c) {
  const Weight& w = *c.weights[0];
  return {.weight_bytes =
              weight_read_bytes(w, 1) / static_cast<double>(w.out) * static_cast<double>(c.in[0].elements())};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> out;
  for (const char* format : {"F32", "Q4_0", "Q6_K"}) {
    out.push_back({format, one_run(7), [format](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                     return {embedding(ctx, in.ids(ctx, {7}, 21), in.weight(format, 1, 21, 512))};
                   }});
  }
  return out;
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

}  // namespace

const Operator k_embedding = {.name = "embedding",
                              .infer = infer,
                              .reference = reference,
                              .backward = backward,
                              .backward_kernels = kBackward,
                              .cost = cost,
                              .kernels = kKernels,
                              .cases = cases};

}  // namespace landfall
