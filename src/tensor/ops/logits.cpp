// Logits: the final product for the wanted rows only: y[n] = W x[rows[n]]. Where rows are rounded to 8 bits, what that
// loses of them goes through the same pass over the weights as more rows: tokens are compared by these numbers alone,
// and a row of them is a small part of a step.
#include "tensor/gemm.h"
#include "tensor/gradients.h"
#include "tensor/matmul.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_logits;

Tensor logits(Ctx& ctx, const Tensor& x, const Tensor& rows, const Weight& weight) {
  const Tensor in[] = {x, rows};
  const Weight* w[] = {&weight};
  return call_one(ctx, k_logits, in, w);
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].rank == 2 && c.in[0].last() == c.weights[0]->in && c.in[1].type == DType::i32);
  c.out[0] = Tensor::of(result_type(c.in[0]), {c.in[1].elements(), c.weights[0]->out});
}

void reference(Ctx&, OpCall& c) {
  const Weight& w = *c.weights[0];
  const std::vector<double> x = load_doubles(c.in[0]), rows = load_doubles(c.in[1]), m = weight_doubles(w);
  std::vector<double> y(static_cast<size_t>(c.out[0].elements()));
  for (size_t n = 0; n < rows.size(); ++n)
    for (int64_t o = 0; o < w.out; ++o)
      for (int64_t i = 0; i < w.in; ++i)
        y[n * w.out + o] += x[static_cast<int64_t>(rows[n]) * w.in + i] * m[o * w.in + i];
  store_doubles(c.out[0], y);
}

// Rows that go through the weights at once; twice as many where something is lost.
constexpr int64_t kRows = 64;

void run_rows(Ctx& ctx, const Weight& w, const Tensor& x, std::span<const int32_t> rows, float* y) {
  const auto count = static_cast<int64_t>(rows.size());
  auto* gathered = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(2 * count * w.in) * 4));
  for (int64_t n = 0; n < count; ++n) {
    std::memcpy(gathered + n * w.in, data<float>(x) + rows[static_cast<size_t>(n)] * x.stride[0],
                static_cast<size_t>(w.in) * 4);
  }
  PackedRows packed = pack_rows(ctx, w, gathered, w.in, count);
  if (packed.kind != Activation::int8) {
    const Product all{&w, 0, &packed, 0, count, y, w.out};
    return multiply(ctx, {&all, 1});
  }
  float* lost = gathered + count * w.in;
  std::memcpy(lost, gathered, static_cast<size_t>(count * w.in) * 4);
  for (int64_t n = 0; n < count; ++n) subtract_codes(packed, n, w.in, lost + n * w.in);
  packed = pack_rows(ctx, w, gathered, w.in, 2 * count);
  auto* both = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(2 * count * w.out) * 4));
  const Product all{&w, 0, &packed, 0, 2 * count, both, w.out};
  multiply(ctx, {&all, 1}, count);  // one row: each thread the part of the matrix that lies near it
  const float* more = both + count * w.out;
  ctx.pool.parallel_for(count * w.out, 16384, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) y[i] = both[i] + more[i];
  });
}

void run(Ctx& ctx, OpCall& c) {
  const Weight& w = *c.weights[0];
  const std::span<const int32_t> rows(data<int32_t>(c.in[1]), static_cast<size_t>(c.in[1].elements()));
  float* y = data<float>(c.out[0]);
  for (size_t first = 0; first < rows.size(); first += kRows) {
    const Arena::Mark mark = ctx.arena.mark();
    run_rows(ctx, w, c.in[0], rows.subspan(first, std::min<size_t>(kRows, rows.size() - first)),
             y + static_cast<int64_t>(first) * w.out);
    ctx.arena.rewind(mark);
  }
}

void backward(Ctx&, const GradCall& g) {
  const Weight& w = *g.call.weights[0];
  const std::vector<double> x = load_doubles(g.call.in[0]), rows = load_doubles(g.call.in[1]), m = weight_doubles(w),
                            up = load_doubles(g.grad_out[0]);
  std::vector<double> grad_x(x.size()), grad_w(m.size());
  for (size_t n = 0; n < rows.size(); ++n) {
    const int64_t r = static_cast<int64_t>(rows[n]) * w.in;
    for (int64_t o = 0; o < w.out; ++o) {
      for (int64_t i = 0; i < w.in; ++i) {
        grad_x[r + i] += up[n * w.out + o] * m[o * w.in + i];
        grad_w[o * w.in + i] += up[n * w.out + o] * x[r + i];
      }
    }
  }
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], grad_x);
  if (g.grad_weights[0]) add_doubles(*g.grad_weights[0], grad_w);
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  const Weight& w = *g.call.weights[0];
  const Tensor& x = g.call.in[0];
  const int64_t count = g.call.in[1].elements();
  const int32_t* rows = data<int32_t>(g.call.in[1]);
  const Factor ups{.data = data<float>(g.grad_out[0]), .stride = w.out};
  const bool bf16 = rounds_to_bf16(ctx, w);
  if (g.grad_in[0].buffer) {
    const Arena::Mark mark = ctx.arena.mark();
    const auto bytes = static_cast<size_t>(count * w.in) * 4;
    auto* grad = reinterpret_cast<float*>(ctx.arena.scratch(bytes));
    std::memset(grad, 0, bytes);
    gemm(ctx, {count, w.in, w.out, ups, rows_of(w), grad, w.in}, bf16);
    add_rows(ctx, grad, count, w.in, data<float>(g.grad_in[0]), [&](int64_t n) { return rows[n]; });
    ctx.arena.rewind(mark);
  }
  if (g.grad_weights[0]) {
    const Factor xs{.data = data<float>(x), .stride = x.stride[0], .index = rows};
    gemm(ctx, {w.out, w.in, count, transposed(ups), xs, data<float>(*g.grad_weights[0]), w.in}, bf16);
  }
}

Cost cost(const Ctx&, const OpCall& c) {
  const Weight& w = *c.weights[0];
  return {.operations = 2.0 * static_cast<double>(c.in[1].elements()) * static_cast<double>(w.elements()),
          .weight_bytes = c.in[1].elements() > 0 ? weight_read_bytes(w, 1) : 0};
}

std::vector<OpCase> cases() {
  auto make = [](std::string format, int64_t in_width, double tolerance) {
    return OpCase{.name = format,
                  .runs = one_run(6),
                  .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                    const Tensor x = in.tensor(ctx, {6, in_width});
                    const Tensor rows = in.ids(ctx, {2}, 6);
                    return {logits(ctx, x, rows, in.weight(format, 1, 45, in_width))};
                  },
                  .tolerance = tolerance,
                  .differentiable = format == "F32"};
  };
  return {make("F32", 30, 2e-6), make("Q6_K", 256, 1e-4)};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};  // the kernel set acts inside gemm()

}  // namespace

const Operator k_logits = {.name = "logits",
                           .infer = infer,
                           .reference = reference,
                           .backward = backward,
                           .backward_kernels = kBackward,
                           .cost = cost,
                           .kernels = kKernels,
                           .cases = cases};

}  // namespace landfall
