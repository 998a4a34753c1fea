// The sequence-wise loss for experts that are used unevenly (DeepSeek-V2, arXiv 2405.04434, equations 23 to 25;
// DeepSeek-V3, arXiv 2412.19437, equations 17 to 20). For the T rows of a run, each with K of E experts chosen:
//   f_e = E / (K T) times the choices of e
//   P_e = mean over rows of the normalised score of e
//   loss = sum over e of f_e P_e
// The choices are held fixed; the gradient goes through P.
#include "tensor/ops/common.h"
#include "tensor/ops/gate.h"

namespace landfall {
extern const Operator k_balance_loss;

namespace {

struct Settings {
  RouterSpec::Gate gate;
};

}  // namespace

Tensor balance_loss(Ctx& ctx, const Tensor& scores, const Tensor& ids, RouterSpec::Gate gate) {
  const Tensor in[] = {scores, ids};
  return call_one(ctx, k_balance_loss, in, {}, Attrs::of(Settings{gate}));
}

namespace {

void infer(const Ctx& ctx, OpCall& c) {
  LANDFALL_CHECK(c.in[0].rank == 2 && c.in[1].rank == 2 && c.in[1].type == DType::i32 &&
                     c.in[0].rows() == c.in[1].rows() && c.in[1].contiguous(),
                 c.in[0].shape_text() + " and " + c.in[1].shape_text());
  c.out[0] = Tensor::of(result_type(c.in[0]), {static_cast<int64_t>(ctx.batch.runs.size())});
}

// One run of rows. z: raw products with `stride` numbers from row to row.
template <class Real>
struct Rows {
  const Real* z;
  int64_t stride, count, experts;
  const int32_t* ids;  // [count, chosen]
  int64_t chosen;
  RouterSpec::Gate kind;

  // f of each expert.
  void shares(Real* f) const {
    std::fill(f, f + experts, Real(0));
    const Real each = static_cast<Real>(experts) / static_cast<Real>(chosen * count);
    for (int64_t i = 0; i < count * chosen; ++i) f[ids[i]] += each;
  }
  // The scores of a row, and their sum.
  Real scores(int64_t row, Real* score) const {
    gate(kind, z + row * stride, experts, score);
    Real total = Real(1e-20);
    for (int64_t e = 0; e < experts; ++e) total += score[e];
    return total;
  }
  // f, score: [experts] of scratch.
  Real loss(Real* f, Real* score) const {
    shares(f);
    Real out = 0;
    for (int64_t r = 0; r < count; ++r) {
      const Real total = scores(r, score);
      Real sum = 0;
      for (int64_t e = 0; e < experts; ++e) sum += f[e] * score[e];
      out += sum / total;
    }
    return out / static_cast<Real>(count);
  }
  // grad += up times the gradient of z; grad: [count, experts].
  void add_gradient(Real up, Real* f, Real* score, Real* grad) const {
    shares(f);
    for (int64_t r = 0; r < count; ++r, grad += experts) {
      const Real total = scores(r, score);
      Real mean = 0;
      for (int64_t e = 0; e < experts; ++e) mean += f[e] * score[e] / total;
      const Real factor = up / (static_cast<Real>(count) * total);
      for (int64_t e = 0; e < experts; ++e) {
        const Real through_sum = factor * (f[e] - mean) * score[e];
        grad[e] += kind == RouterSpec::Gate::sigmoid ? through_sum * (1 - score[e]) : through_sum;
      }
    }
  }
};

template <class Real>
Rows<Real> rows_of(const OpCall& c, const Run& run, const Real* z, int64_t stride) {
  const int64_t chosen = c.in[1].last();
  return {z + run.first * stride,
          stride,
          run.count,
          c.in[0].last(),
          data<int32_t>(c.in[1]) + run.first * chosen,
          chosen,
          c.attrs.as<Settings>().gate};
}

void reference(Ctx& ctx, OpCall& c) {
  const std::vector<double> z = load_doubles(c.in[0]);
  std::vector<double> f(static_cast<size_t>(c.in[0].last())), score(f.size()), out;
  for (const Run& run : ctx.batch.runs)
    out.push_back(rows_of(c, run, z.data(), c.in[0].last()).loss(f.data(), score.data()));
  store_doubles(c.out[0], out);
}

void backward(Ctx& ctx, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const int64_t n = g.call.in[0].last();
  const std::vector<double> z = load_doubles(g.call.in[0]), up = load_doubles(g.grad_out[0]);
  std::vector<double> f(static_cast<size_t>(n)), score(f.size()), grad(z.size());
  for (size_t i = 0; i < up.size(); ++i) {
    const Run& run = ctx.batch.runs[i];
    rows_of(g.call, run, z.data(), n).add_gradient(up[i], f.data(), score.data(), grad.data() + run.first * n);
  }
  add_doubles(g.grad_in[0], grad);
}

// visit(run number, run, two lists of [experts] floats of the thread's own) for all runs.
template <class Visit>
void for_each_run(Ctx& ctx, int64_t experts, Visit&& visit) {
  const Arena::Mark mark = ctx.arena.mark();
  auto* scratch =
      reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(2 * experts * 4 * ctx.pool.threads())));
  ctx.pool.parallel_for(static_cast<int64_t>(ctx.batch.runs.size()), 1, [&](int64_t begin, int64_t end, int thread) {
    float* own = scratch + 2 * experts * thread;
    for (int64_t i = begin; i < end; ++i) visit(i, ctx.batch.runs[static_cast<size_t>(i)], own, own + experts);
  });
  ctx.arena.rewind(mark);
}

void run_kernel(Ctx& ctx, OpCall& c) {
  for_each_run(ctx, c.in[0].last(), [&](int64_t i, const Run& run, float* f, float* score) {
    data<float>(c.out[0])[i] = rows_of(c, run, data<float>(c.in[0]), c.in[0].stride[0]).loss(f, score);
  });
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const int64_t n = g.call.in[0].last();
  for_each_run(ctx, n, [&](int64_t i, const Run& run, float* f, float* score) {
    rows_of(g.call, run, data<float>(g.call.in[0]), g.call.in[0].stride[0])
        .add_gradient(data<float>(g.grad_out[0])[i], f, score, data<float>(g.grad_in[0]) + run.first * n);
  });
}

std::vector<OpCase> cases() {
  std::vector<OpCase> out;
  for (const auto gate : {RouterSpec::Gate::softmax, RouterSpec::Gate::sigmoid}) {
    out.push_back(OpCase{.name = gate == RouterSpec::Gate::softmax ? "softmax" : "sigmoid",
                         .runs = {{0, 9, 0, 0, true}, {9, 4, 0, 1, true}},
                         .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                           const Tensor scores = in.tensor(ctx, {13, 12}, -3, 3);
                           return {balance_loss(ctx, scores, in.ids(ctx, {13, 3}, 12), gate)};
                         }});
  }
  return out;
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run_kernel}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

}  // namespace

const Operator k_balance_loss = {.name = "balance_loss",
                                 .infer = infer,
                                 .reference = reference,
                                 .backward = backward,
                                 .backward_kernels = kBackward,
                                 .kernels = kKernels,
                                 .cases = cases};

}  // namespace landfall
