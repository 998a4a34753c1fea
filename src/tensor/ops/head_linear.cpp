// One linear map per head: y[r][h] = W[h] x[r][h], or Wᵀ. An input without a head axis is shared by all heads.
#include "tensor/gemm.h"
#include "tensor/matmul.h"
#include "tensor/ops/common.h"
#include "tensor/transposed.h"

namespace landfall {
extern const Operator k_head_linear;

namespace {

struct Settings {
  bool transposed;
};

struct Shape {
  int64_t rows, heads, in, out;
  bool shared;
};

Shape shape_of(const OpCall& c) {
  const Weight& w = *c.weights[0];
  const bool transposed = c.attrs.as<Settings>().transposed;
  return {c.in[0].rows(), w.experts, transposed ? w.out : w.in, transposed ? w.in : w.out, c.in[0].rank == 2};
}

}  // namespace

Tensor head_linear(Ctx& ctx, const Tensor& x, const Weight& weight, bool transposed) {
  const Weight* w[] = {&weight};
  return call_one(ctx, k_head_linear, {&x, 1}, w, Attrs::of(Settings{transposed}));
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const Shape s = shape_of(c);
  const Tensor& x = c.in[0];
  LANDFALL_CHECK(x.last() == s.in && (s.shared || x.shape[1] == s.heads),
                 c.weights[0]->name + " with " + x.shape_text());
  c.out[0] = Tensor::of(result_type(x), {s.rows, s.heads, s.out});
}

// Visits (row, head, output, input) with the flat indices of x, y and the weight.
template <class Visit>
void for_each_product(const OpCall& c, Visit&& visit) {
  const Shape s = shape_of(c);
  const Weight& w = *c.weights[0];
  const bool transposed = c.attrs.as<Settings>().transposed;
  for (int64_t r = 0; r < s.rows; ++r)
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t o = 0; o < s.out; ++o)
        for (int64_t i = 0; i < s.in; ++i) {
          const int64_t row = transposed ? i : o, column = transposed ? o : i;
          visit((s.shared ? r : r * s.heads + h) * s.in + i, (r * s.heads + h) * s.out + o,
                (h * w.out + row) * w.in + column);
        }
}

void reference(Ctx&, OpCall& c) {
  const std::vector<double> x = load_doubles(c.in[0]), m = weight_doubles(*c.weights[0]);
  std::vector<double> y(static_cast<size_t>(c.out[0].elements()));
  for_each_product(c, [&](int64_t xi, int64_t yi, int64_t wi) { y[yi] += x[xi] * m[wi]; });
  store_doubles(c.out[0], y);
}

void run(Ctx& ctx, OpCall& c) {
  const Shape s = shape_of(c);
  const Weight& w = *c.weights[0];
  const Tensor& x = c.in[0];
  float* y = data<float>(c.out[0]);
  const Arena::Mark mark = ctx.arena.mark();
  auto row_of = [&](int64_t r, int64_t h) {
    return data<float>(x) + r * x.stride[0] + (s.shared ? 0 : h * x.stride[1]);
  };
  if (c.attrs.as<Settings>().transposed) {
    const auto scratch = static_cast<size_t>(w.padded_in) * 16;
    auto* acc = reinterpret_cast<float*>(ctx.arena.scratch(scratch * 4 * static_cast<size_t>(ctx.pool.threads())));
    ctx.pool.parallel_for(
        s.heads * s.rows, 1,
        [&](int64_t begin, int64_t end, int thread) {
          // Heads outermost: a head's weights serve all rows while they are near.
          for (int64_t t = begin; t < end; ++t) {
            const int64_t h = t / s.rows, r = t % s.rows;
            multiply_transposed(ctx, w, h, row_of(r, h), y + (r * s.heads + h) * s.out,
                                acc + scratch * static_cast<size_t>(thread));
          }
        },
        split_for(s.rows));
    ctx.arena.rewind(mark);
    return;
  }
  // A shared input is packed once; else head h finds its rows r at r * heads + h.
  PackedRows packed = pack_rows(ctx, w, x);
  if (!s.shared) {
    auto* index = reinterpret_cast<int32_t*>(ctx.arena.scratch(static_cast<size_t>(s.heads * s.rows) * 4));
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t r = 0; r < s.rows; ++r) index[h * s.rows + r] = static_cast<int32_t>(r * s.heads + h);
    packed.index = index;
  }
  auto* work = reinterpret_cast<Product*>(ctx.arena.scratch(static_cast<size_t>(s.heads) * sizeof(Product)));
  for (int64_t h = 0; h < s.heads; ++h)
    work[h] = {&w, h, &packed, s.shared ? 0 : h * s.rows, s.rows, y + h * s.out, s.heads * s.out};
  multiply(ctx, {work, static_cast<size_t>(s.heads)});
  ctx.arena.rewind(mark);
}

void backward(Ctx&, const GradCall& g) {
  const std::vector<double> x = load_doubles(g.call.in[0]), m = weight_doubles(*g.call.weights[0]),
                            up = load_doubles(g.grad_out[0]);
  std::vector<double> grad_x(x.size()), grad_w(m.size());
  for_each_product(g.call, [&](int64_t xi, int64_t yi, int64_t wi) {
    grad_x[xi] += up[yi] * m[wi];
    grad_w[wi] += up[yi] * x[xi];
  });
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], grad_x);
  if (g.grad_weights[0]) add_doubles(*g.grad_weights[0], grad_w);
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  const Shape s = shape_of(g.call);
  const Weight& w = *g.call.weights[0];
  const Tensor& x = g.call.in[0];
  const bool turned = g.call.attrs.as<Settings>().transposed;
  const bool bf16 = !turned && rounds_to_bf16(ctx, w);  // as the transposed product
  std::vector<Gemm> to_x, to_w;
  for (int64_t h = 0; h < s.heads; ++h) {
    const Factor ups{.data = data<float>(g.grad_out[0]) + h * s.out, .stride = s.heads * s.out};
    const Factor xs{.data = data<float>(x) + (s.shared ? 0 : h * x.stride[1]), .stride = x.stride[0]};
    if (g.grad_in[0].buffer) {
      float* grad = data<float>(g.grad_in[0]) + (s.shared ? 0 : h * s.in);
      const Factor rows = rows_of(w, h);
      to_x.push_back(
          {s.rows, s.in, s.out, ups, turned ? transposed(rows) : rows, grad, s.shared ? s.in : s.heads * s.in});
    }
    if (g.grad_weights[0]) {
      float* grad = data<float>(*g.grad_weights[0]) + h * w.out * w.in;
      to_w.push_back({w.out, w.in, s.rows, transposed(turned ? xs : ups), turned ? ups : xs, grad, w.in});
    }
  }
  if (s.shared) {  // all heads add to the same rows
    for (const Gemm& product : to_x) gemm(ctx, product, bf16);
  } else {
    gemm(ctx, to_x, bf16);
  }
  gemm(ctx, to_w, bf16);
}

Cost cost(const Ctx&, const OpCall& c) {
  const Weight& w = *c.weights[0];
  return {.operations = 2.0 * static_cast<double>(c.in[0].rows()) * static_cast<double>(w.elements()),
          .weight_bytes = weight_read_bytes(w, static_cast<double>(w.experts))};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> out;
  auto add = [&](std::string name, const char* format, bool shared, bool transposed, double tolerance) {
    out.push_back({.name = std::move(name),
                   .runs = one_run(5),
                   .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                     const int64_t width = transposed ? 24 : 64;
                     const Tensor x = shared ? in.tensor(ctx, {5, width}) : in.tensor(ctx, {5, 3, width});
                     return {head_linear(ctx, x, in.weight(format, 3, 24, 64), transposed)};
                   },
                   .tolerance = tolerance,
                   .differentiable = std::string_view(format) == "F32"});
  };
  add("per head", "F32", false, false, 2e-6);
  add("shared", "F32", true, false, 2e-6);
  add("per head, transposed", "F32", false, true, 2e-6);
  add("shared, transposed", "F32", true, true, 2e-6);
  add("Q4_0", "Q4_0", false, false, 1e-2);
  add("Q4_0 transposed", "Q4_0", false, true, 2e-6);
  add("F8_E4M3 transposed", "F8_E4M3", false, true, 2e-6);
  return out;
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};  // the kernel set acts inside gemm()

std::vector<std::pair<std::string, double>> settings(const Attrs& a) {
  return {{"transposed", a.as<Settings>().transposed}};
}

}  // namespace

const Operator k_head_linear = {.name = "head_linear",
                                .infer = infer,
                                .reference = reference,
                                .backward = backward,
                                .backward_kernels = kBackward,
                                .cost = cost,
                                .settings = settings,
                                .kernels = kKernels,
                                .cases = cases};

}  // namespace landfall
