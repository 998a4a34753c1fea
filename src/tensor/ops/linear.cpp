// Linear map: y[r][o] = sum over i of x[r][i] * W[o][i], plus bias[o].
#include "tensor/gemm.h"
#include "tensor/gradients.h"
#include "tensor/matmul.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_linear;

Tensor linear(Ctx& ctx, const Tensor& x, const Weight& weight, const Weight* bias) {
  const Weight* w[] = {&weight, bias};
  const Tensor y = call_one(ctx, k_linear, {&x, 1}, w);
  const LowRank* addition = ctx.overlay ? ctx.overlay->addition(weight) : nullptr;
  return addition ? add(ctx, y, linear(ctx, linear(ctx, x, *addition->a), *addition->b)) : y;
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const Tensor& x = c.in[0];
  const Weight& w = *c.weights[0];
  LANDFALL_CHECK(x.rank == 2 && x.last() == w.in && w.experts == 1, w.name + " with " + x.shape_text());
  LANDFALL_CHECK(!c.weights[1] || c.weights[1]->in == w.out, w.name);
  c.out[0] = Tensor::of(result_type(x), {x.rows(), w.out});
}

void reference(Ctx&, OpCall& c) {
  const Weight& w = *c.weights[0];
  const std::vector<double> x = load_doubles(c.in[0]), m = weight_doubles(w);
  std::vector<double> y(static_cast<size_t>(c.out[0].elements()));
  const int64_t rows = c.in[0].rows();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < w.out; ++o) {
      double sum = c.weights[1] ? vector_data(*c.weights[1])[o] : 0.0;
      for (int64_t i = 0; i < w.in; ++i) sum += x[r * w.in + i] * m[o * w.in + i];
      y[r * w.out + o] = sum;
    }
  }
  store_doubles(c.out[0], y);
}

void run(Ctx& ctx, OpCall& c) {
  const Tensor& x = c.in[0];
  const Weight& w = *c.weights[0];
  const int64_t rows = x.rows();
  float* y = data<float>(c.out[0]);
  if (w.out == 1) {  // a single output is a vector, kept plainly
    const float* v = vector_data(w);
    for (int64_t r = 0; r < rows; ++r) {
      float sum = 0.0f;
      for (int64_t i = 0; i < w.in; ++i) sum += data<float>(x)[r * x.stride[0] + i] * v[i];
      y[r] = sum;
    }
  } else {
    const Arena::Mark mark = ctx.arena.mark();
    const PackedRows packed = pack_rows(ctx, w, x);
    const Product all{&w, 0, &packed, 0, rows, y, w.out};
    multiply(ctx, {&all, 1});
    ctx.arena.rewind(mark);
  }
  if (!c.weights[1]) return;
  const float* bias = vector_data(*c.weights[1]);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < w.out; ++o) y[r * w.out + o] += bias[o];
  }
}

void backward(Ctx&, const GradCall& g) {
  const Weight& w = *g.call.weights[0];
  const std::vector<double> x = load_doubles(g.call.in[0]), up = load_doubles(g.grad_out[0]);
  const int64_t rows = g.call.in[0].rows();
  if (g.grad_in[0].buffer) {
    const std::vector<double> m = weight_doubles(w);
    std::vector<double> grad(x.size());
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < w.out; ++o)
        for (int64_t i = 0; i < w.in; ++i) grad[r * w.in + i] += up[r * w.out + o] * m[o * w.in + i];
    add_doubles(g.grad_in[0], grad);
  }
  if (g.grad_weights[0]) {
    std::vector<double> grad(static_cast<size_t>(w.elements()));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < w.out; ++o)
        for (int64_t i = 0; i < w.in; ++i) grad[o * w.in + i] += up[r * w.out + o] * x[r * w.in + i];
    add_doubles(*g.grad_weights[0], grad);
  }
  if (g.grad_weights[1]) {
    std::vector<double> grad(static_cast<size_t>(w.out));
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t o = 0; o < w.out; ++o) grad[o] += up[r * w.out + o];
    add_doubles(*g.grad_weights[1], grad);
  }
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  const Weight& w = *g.call.weights[0];
  const Tensor& x = g.call.in[0];
  const int64_t rows = x.rows();
  const float* up = data<float>(g.grad_out[0]);
  const Factor ups{.data = up, .stride = w.out};
  const bool bf16 = rounds_to_bf16(ctx, w);
  if (g.grad_in[0].buffer) gemm(ctx, {rows, w.in, w.out, ups, rows_of(w), data<float>(g.grad_in[0]), w.in}, bf16);
  if (g.grad_weights[0]) {
    const Factor xs{.data = data<float>(x), .stride = x.stride[0]};
    gemm(ctx, {w.out, w.in, rows, transposed(ups), xs, data<float>(*g.grad_weights[0]), w.in}, bf16);
  }
  if (g.grad_weights[1]) {
    add_rows(ctx, up, rows, w.out, data<float>(*g.grad_weights[1]), [](int64_t) { return 0; });
  }
}

Cost cost(const Ctx&, const OpCall& c) {
  const Weight& w = *c.weights[0];
  return {.operations = 2.0 * static_cast<double>(c.in[0].rows()) * static_cast<double>(w.out * w.in),
          .weight_bytes = weight_read_bytes(w, 1)};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> out;
  auto add = [&](std::string name, const char* format, int32_t rows, int64_t o, int64_t i, bool bias,
                 double tolerance) {
    out.push_back({.name = std::move(name),
                   .runs = one_run(rows),
                   .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                     const Tensor x = in.tensor(ctx, {rows, i});
                     const Weight& w = in.weight(format, 1, o, i);
                     return {linear(ctx, x, w, bias ? &in.vector(o, -1, 1) : nullptr)};
                   },
                   .tolerance = tolerance,
                   .differentiable = std::string_view(format) == "F32"});
  };
  add("F32", "F32", 5, 33, 70, false, 2e-6);
  add("F32 with bias", "F32", 3, 16, 24, true, 2e-6);
  add("F32, one output", "F32", 3, 1, 24, false, 2e-6);
  add("no rows", "F32", 0, 16, 32, false, 2e-6);
  add("F16", "F16", 9, 40, 100, false, 2e-6);
  add("BF16", "BF16", 9, 40, 100, false, 5e-3);
  add("F8_E4M3", "F8_E4M3", 9, 40, 200, false, 2e-6);
  for (const char* format : {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4"}) {
    add(format, format, 9, 50, 96, false, 1e-2);
  }
  for (const char* format : {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"})
    add(format, format, 9, 50, 512, false, 1e-2);
  return out;
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};                   // the kernel set acts inside multiply()
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};  // the kernel set acts inside gemm()

}  // namespace

const Operator k_linear = {.name = "linear",
                           .infer = infer,
                           .reference = reference,
                           .backward = backward,
                           .backward_kernels = kBackward,
                           .cost = cost,
                           .kernels = kKernels,
                           .cases = cases};

}  // namespace landfall
