// Linear map through a chosen expert: y[r][k] = W[ids[r][k]] x[r][k]; x without a choice axis is shared by all k.
#include "tensor/gemm.h"
#include "tensor/gradients.h"
#include "tensor/matmul.h"
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_expert_linear;

Tensor expert_linear(Ctx& ctx, const Tensor& x, const Tensor& ids, const Weight& weight) {
  const Tensor in[] = {x, ids};
  const Weight* w[] = {&weight};
  return call_one(ctx, k_expert_linear, in, w);
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const Tensor &x = c.in[0], &ids = c.in[1];
  const Weight& w = *c.weights[0];
  LANDFALL_CHECK(
      x.last() == w.in && ids.rank == 2 && ids.rows() == x.rows() && (x.rank == 2 || x.shape[1] == ids.last()),
      w.name + " with " + x.shape_text());
  c.out[0] = Tensor::of(result_type(x), {x.rows(), ids.last(), w.out});
}

// Visits every (chosen row, output, input) with the flat indices of x, y and the weight.
template <class Visit>
void for_each_product(const OpCall& c, Visit&& visit) {
  const Weight& w = *c.weights[0];
  const std::vector<double> ids = load_doubles(c.in[1]);
  const int64_t k = c.in[1].last();
  for (size_t at = 0; at < ids.size(); ++at) {
    const auto row = static_cast<int64_t>(at);
    const int64_t x_row = c.in[0].rank == 2 ? row / k : row;
    for (int64_t o = 0; o < w.out; ++o)
      for (int64_t i = 0; i < w.in; ++i)
        visit(x_row * w.in + i, row * w.out + o, (static_cast<int64_t>(ids[at]) * w.out + o) * w.in + i);
  }
}

void reference(Ctx&, OpCall& c) {
  const std::vector<double> x = load_doubles(c.in[0]), m = weight_doubles(*c.weights[0]);
  std::vector<double> y(static_cast<size_t>(c.out[0].elements()));
  for_each_product(c, [&](int64_t xi, int64_t yi, int64_t wi) { y[yi] += x[xi] * m[wi]; });
  store_doubles(c.out[0], y);
}

void run(Ctx& ctx, OpCall& c) {
  const Tensor &x = c.in[0], &ids = c.in[1];
  const Weight& w = *c.weights[0];
  const int64_t k = ids.last(), total = ids.elements();
  const int32_t* id = data<int32_t>(ids);
  // Rows sorted by expert, so that each expert's weights are read once for all of its rows.
  std::vector<int64_t> start(static_cast<size_t>(w.experts) + 1), order(static_cast<size_t>(total));
  for (int64_t t = 0; t < total; ++t) ++start[static_cast<size_t>(id[t]) + 1];
  for (size_t e = 1; e < start.size(); ++e) start[e] += start[e - 1];
  std::vector<Product> work;
  for (int64_t e = 0; e < w.experts; ++e) {
    const int64_t first = start[static_cast<size_t>(e)], count = start[static_cast<size_t>(e) + 1] - first;
    if (count > 0) work.push_back({&w, e, nullptr, first, count, nullptr, w.out});
  }
  const Arena::Mark mark = ctx.arena.mark();
  auto* index = reinterpret_cast<int32_t*>(ctx.arena.scratch(static_cast<size_t>(total) * 4));
  for (int64_t t = 0; t < total; ++t) {
    const int64_t at = start[static_cast<size_t>(id[t])]++;
    order[static_cast<size_t>(at)] = t;
    index[at] = static_cast<int32_t>(x.rank == 2 ? t / k : t);
  }
  auto* sorted = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(total * w.out) * 4));
  PackedRows packed = pack_rows(ctx, w, x);
  packed.index = index;
  for (Product& p : work) p.x = &packed, p.y = sorted + p.first * w.out;
  multiply(ctx, work);
  ctx.pool.parallel_for(total, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t at = begin; at < end; ++at) {
      std::memcpy(data<float>(c.out[0]) + order[static_cast<size_t>(at)] * w.out, sorted + at * w.out,
                  static_cast<size_t>(w.out) * 4);
    }
  });
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

// Rows grouped by expert; a product for each expert that was chosen.
void backward_kernel(Ctx& ctx, const GradCall& g) {
  const Tensor &x = g.call.in[0], &ids = g.call.in[1];
  const Weight& w = *g.call.weights[0];
  const int64_t k = ids.last(), total = ids.elements();
  const bool shared = x.rank == 2;
  LANDFALL_CHECK(shared || x.stride[0] == k * x.stride[1]);
  const int32_t* id = data<int32_t>(ids);
  std::vector<int64_t> start(static_cast<size_t>(w.experts) + 1);
  for (int64_t t = 0; t < total; ++t) ++start[static_cast<size_t>(id[t]) + 1];
  for (size_t e = 1; e < start.size(); ++e) start[e] += start[e - 1];
  std::vector<int32_t> row(static_cast<size_t>(total)), x_row(static_cast<size_t>(total));
  std::vector<int64_t> next = start;
  for (int64_t t = 0; t < total; ++t) {
    const auto at = static_cast<size_t>(next[static_cast<size_t>(id[t])]++);
    row[at] = static_cast<int32_t>(t);
    x_row[at] = static_cast<int32_t>(shared ? t / k : t);
  }

  const Arena::Mark mark = ctx.arena.mark();
  // Several choices of a row add to one shared input: each has a row of its own first.
  float* grad_x = nullptr;
  if (g.grad_in[0].buffer) {
    grad_x = data<float>(g.grad_in[0]);
    if (shared) {
      const auto bytes = static_cast<size_t>(total * w.in) * 4;
      grad_x = reinterpret_cast<float*>(ctx.arena.scratch(bytes));
      std::memset(grad_x, 0, bytes);
    }
  }
  std::vector<Gemm> work;
  for (int64_t e = 0; e < w.experts; ++e) {
    const int64_t first = start[static_cast<size_t>(e)], count = start[static_cast<size_t>(e) + 1] - first;
    if (count == 0) continue;
    const Factor ups{.data = data<float>(g.grad_out[0]), .stride = w.out, .index = row.data() + first};
    const Factor xs{.data = data<float>(x), .stride = x.stride[shared ? 0 : 1], .index = x_row.data() + first};
    if (grad_x) work.push_back({count, w.in, w.out, ups, rows_of(w, e), grad_x, w.in, row.data() + first});
    if (g.grad_weights[0]) {
      float* grad_w = data<float>(*g.grad_weights[0]) + e * w.out * w.in;
      work.push_back({w.out, w.in, count, transposed(ups), xs, grad_w, w.in});
    }
  }
  gemm(ctx, work, rounds_to_bf16(ctx, w));
  if (grad_x && shared) {
    add_rows(ctx, grad_x, total, w.in, data<float>(g.grad_in[0]), [&](int64_t t) { return t / k; });
  }
  ctx.arena.rewind(mark);
}

Cost cost(const Ctx&, const OpCall& c) {
  const Weight& w = *c.weights[0];
  const auto rows = static_cast<double>(c.in[1].elements());
  const auto experts = static_cast<double>(w.experts);
  // Expected number of distinct experts that uniform routing of that many choices touches.
  const double used = experts * (1.0 - std::pow(1.0 - static_cast<double>(c.in[1].last()) / experts,
                                                static_cast<double>(c.in[1].rows())));
  return {.operations = 2.0 * rows * static_cast<double>(w.out * w.in), .weight_bytes = weight_read_bytes(w, used)};
}

std::vector<OpCase> cases() {
  std::vector<OpCase> out;
  auto add = [&](std::string name, const char* format, int32_t rows, bool shared, int64_t in_width, double tolerance) {
    out.push_back({.name = std::move(name),
                   .runs = one_run(rows),
                   .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                     const Tensor x = shared ? in.tensor(ctx, {rows, in_width}) : in.tensor(ctx, {rows, 2, in_width});
                     const Tensor ids = in.ids(ctx, {rows, 2}, 5);
                     return {expert_linear(ctx, x, ids, in.weight(format, 5, 18, in_width))};
                   },
                   .tolerance = tolerance,
                   .differentiable = std::string_view(format) == "F32"});
  };
  add("shared input", "F32", 9, true, 40, 2e-6);
  add("input per choice", "F32", 9, false, 40, 2e-6);
  add("Q4_K", "Q4_K", 33, true, 256, 1e-2);
  add("F8_E4M3", "F8_E4M3", 4, true, 160, 2e-6);
  return out;
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};  // the kernel set acts inside gemm()

}  // namespace

const Operator k_expert_linear = {.name = "expert_linear",
                                  .infer = infer,
                                  .reference = reference,
                                  .backward = backward,
                                  .backward_kernels = kBackward,
                                  .cost = cost,
                                  .kernels = kKernels,
                                  .cases = cases};

}  // namespace landfall
