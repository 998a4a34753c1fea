// Expert router. Softmax gate with optional group limit (DeepSeek-V2, arXiv 2405.04434, section 2.2.2) and sigmoid gate
// whose choice is steered by a bias (DeepSeek-V3, arXiv 2412.19437, section 2.1.2). Everything in f32 or wider.
//   softmax: s = softmax(z), choice by s, a group scores its best member
//   sigmoid: s = sigmoid(z), choice by s + bias, a group scores the sum of its two best members
// Members of groups that are not kept count as minus infinity. The weights are s (never s + bias) of the chosen,
// divided by their sum + 1e-20 when normalised, times scale.
#include <limits>
#include <numeric>

#include "tensor/ops/common.h"
#include "tensor/ops/gate.h"

namespace landfall {
extern const Operator k_router;

Routing router(Ctx& ctx, const Tensor& scores, const Weight* bias, const RouterSpec& spec) {
  Tensor out[2];
  const Weight* w[] = {bias};
  OpCall call{&k_router, {&scores, 1}, w, Attrs::of(spec), out};
  dispatch(ctx, call);
  return {out[0], out[1]};
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const auto s = c.attrs.as<RouterSpec>();
  const Tensor& z = c.in[0];
  LANDFALL_CHECK(z.rank == 2 && s.groups > 0 && z.last() % s.groups == 0 && s.groups_kept <= s.groups);
  LANDFALL_CHECK(s.experts_per_row <= z.last() / s.groups * s.groups_kept);
  c.out[0] = Tensor::of(DType::i32, {z.rows(), s.experts_per_row});
  c.out[1] = Tensor::of(result_type(z), {z.rows(), s.experts_per_row});
}

// What one row needs besides its outputs.
template <class Real>
struct Scratch {
  Real *score, *choice;  // [experts]
  Real* group;           // [groups]
  int32_t* order;        // [groups]
};

// The k best experts of one row, ties to the lower index, in ascending order. Changes all of the scratch but the
// scores.
template <class Real>
void choose(const RouterSpec& s, const Scratch<Real>& scratch, int64_t n, int32_t* ids) {
  constexpr Real kOut = -std::numeric_limits<Real>::infinity();
  Real* choice = scratch.choice;
  if (s.groups_kept < s.groups) {
    const int64_t width = n / s.groups;
    for (int32_t g = 0; g < s.groups; ++g) {
      Real best = kOut, second = kOut;
      for (int64_t e = g * width; e < (g + 1) * width; ++e) {
        if (choice[e] > best) {
          second = best;
          best = choice[e];
        } else if (choice[e] > second) {
          second = choice[e];
        }
      }
      scratch.group[g] = s.gate == RouterSpec::Gate::sigmoid && width > 1 ? best + second : best;
    }
    std::iota(scratch.order, scratch.order + s.groups, 0);
    std::sort(scratch.order, scratch.order + s.groups, [&](int32_t a, int32_t b) {
      return scratch.group[a] > scratch.group[b] || (scratch.group[a] == scratch.group[b] && a < b);
    });
    for (int32_t i = s.groups_kept; i < s.groups; ++i) {
      std::fill(choice + scratch.order[i] * width, choice + (scratch.order[i] + 1) * width, kOut);
    }
  }
  for (int32_t k = 0; k < s.experts_per_row; ++k) {
    int64_t best = -1;
    for (int64_t e = 0; e < n; ++e) {
      const bool taken = std::find(ids, ids + k, static_cast<int32_t>(e)) != ids + k;
      if (!taken && (best < 0 || choice[e] > choice[best])) best = e;
    }
    ids[k] = static_cast<int32_t>(best);
  }
  std::sort(ids, ids + s.experts_per_row);
}

template <class Real>
void route_row(const RouterSpec& s, const Weight* bias, const Real* z, int64_t n, const Scratch<Real>& scratch,
               int32_t* ids, Real* weights) {
  gate(s.gate, z, n, scratch.score);
  for (int64_t e = 0; e < n; ++e) {
    const Real v = scratch.score[e] + (bias ? vector_data(*bias)[e] : 0.0f);
    // NaN scores would compare false with everything; they lose against every number instead.
    scratch.choice[e] = std::isnan(v) ? std::numeric_limits<Real>::lowest() : v;
  }
  choose(s, scratch, n, ids);
  Real total = 0;
  for (int32_t k = 0; k < s.experts_per_row; ++k) total += weights[k] = scratch.score[ids[k]];
  const Real factor = s.normalise ? static_cast<Real>(s.scale) / (total + static_cast<Real>(1e-20)) : s.scale;
  for (int32_t k = 0; k < s.experts_per_row; ++k) weights[k] *= factor;
}

void reference(Ctx&, OpCall& c) {
  const auto s = c.attrs.as<RouterSpec>();
  const int64_t n = c.in[0].last(), k = s.experts_per_row;
  const std::vector<double> z = load_doubles(c.in[0]);
  std::vector<double> weights(static_cast<size_t>(c.out[1].elements())), numbers(static_cast<size_t>(2 * n + s.groups));
  std::vector<int32_t> order(static_cast<size_t>(s.groups));
  const Scratch<double> scratch{numbers.data(), numbers.data() + n, numbers.data() + 2 * n, order.data()};
  for (int64_t r = 0; r < c.in[0].rows(); ++r) {
    route_row(s, c.weights[0], z.data() + r * n, n, scratch, data<int32_t>(c.out[0]) + r * k, weights.data() + r * k);
  }
  store_doubles(c.out[1], weights);
}

void run(Ctx& ctx, OpCall& c) {
  const auto s = c.attrs.as<RouterSpec>();
  const int64_t n = c.in[0].last(), k = s.experts_per_row;
  const Arena::Mark mark = ctx.arena.mark();
  const int64_t each = 2 * (n + s.groups);
  std::byte* scratch = ctx.arena.scratch(static_cast<size_t>(each * 4 * ctx.pool.threads()));
  ctx.pool.parallel_for(c.in[0].rows(), 4, [&](int64_t begin, int64_t end, int thread) {
    auto* numbers = reinterpret_cast<float*>(scratch) + each * thread;
    const Scratch<float> own{numbers, numbers + n, numbers + 2 * n,
                             reinterpret_cast<int32_t*>(numbers + 2 * n + s.groups)};
    for (int64_t r = begin; r < end; ++r) {
      route_row(s, c.weights[0], data<float>(c.in[0]) + r * c.in[0].stride[0], n, own, data<int32_t>(c.out[0]) + r * k,
                data<float>(c.out[1]) + r * k);
    }
  });
  ctx.arena.rewind(mark);
}

// The choice is held fixed. With w_k = scale * s_k (or normalised), the gradient goes through the chosen scores to z.
// Adds one row's gradient. score, grad_score: [experts] of scratch.
template <class Real>
void route_back_row(const RouterSpec& s, const Real* z, const int32_t* ids, const Real* up, int64_t n, Real* score,
                    Real* grad_score, Real* grad) {
  gate(s.gate, z, n, score);
  Real total = Real(1e-20), product = 0;
  for (int64_t j = 0; j < s.experts_per_row; ++j) {
    total += score[ids[j]];
    product += up[j] * score[ids[j]];
  }
  std::fill(grad_score, grad_score + n, Real(0));
  for (int64_t j = 0; j < s.experts_per_row; ++j) {
    grad_score[ids[j]] = s.scale * (s.normalise ? (up[j] - product / total) / total : up[j]);
  }
  Real mean = 0;
  for (int64_t e = 0; e < n; ++e) mean += grad_score[e] * score[e];
  for (int64_t e = 0; e < n; ++e) {
    grad[e] += s.gate == RouterSpec::Gate::sigmoid ? grad_score[e] * score[e] * (1 - score[e])
                                                   : score[e] * (grad_score[e] - mean);
  }
}

void backward(Ctx&, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const auto s = g.call.attrs.as<RouterSpec>();
  const int64_t n = g.call.in[0].last(), k = s.experts_per_row;
  const std::vector<double> z = load_doubles(g.call.in[0]), up = load_doubles(g.grad_out[1]);
  std::vector<double> grad(z.size()), score(static_cast<size_t>(n)), grad_score(static_cast<size_t>(n));
  for (int64_t r = 0; r < g.call.in[0].rows(); ++r) {
    route_back_row(s, z.data() + r * n, data<int32_t>(g.call.out[0]) + r * k, up.data() + r * k, n, score.data(),
                   grad_score.data(), grad.data() + r * n);
  }
  add_doubles(g.grad_in[0], grad);
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const auto s = g.call.attrs.as<RouterSpec>();
  const Tensor& z = g.call.in[0];
  const int64_t n = z.last(), k = s.experts_per_row;
  const Arena::Mark mark = ctx.arena.mark();
  auto* scratch = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(2 * n * 4 * ctx.pool.threads())));
  ctx.pool.parallel_for(z.rows(), 4, [&](int64_t begin, int64_t end, int thread) {
    float* own = scratch + 2 * n * thread;
    for (int64_t r = begin; r < end; ++r) {
      route_back_row(s, data<float>(z) + r * z.stride[0], data<int32_t>(g.call.out[0]) + r * k,
                     data<float>(g.grad_out[1]) + r * k, n, own, own + n, data<float>(g.grad_in[0]) + r * n);
    }
  });
  ctx.arena.rewind(mark);
}

std::vector<OpCase> cases() {
  auto make = [](std::string name, RouterSpec spec, bool bias) {
    return OpCase{
        .name = std::move(name), .runs = one_run(9), .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
          const Tensor z = in.tensor(ctx, {9, 12}, -3, 3);
          const Routing r = router(ctx, z, bias ? &in.vector(12, -1, 1) : nullptr, spec);
          return {r.weights, r.ids};
        }};
  };
  using Gate = RouterSpec::Gate;
  return {make("softmax", {Gate::softmax, 3, 1, 1, false, 1.0f}, false),
          make("softmax, groups, scale", {Gate::softmax, 3, 4, 2, false, 16.0f}, false),
          make("softmax, normalised", {Gate::softmax, 3, 1, 1, true, 1.0f}, false),
          make("sigmoid, bias, groups", {Gate::sigmoid, 4, 4, 2, true, 2.5f}, true),
          make("sigmoid", {Gate::sigmoid, 4, 1, 1, false, 1.0f}, false)};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

std::vector<std::pair<std::string, double>> settings(const Attrs& a) {
  const auto s = a.as<RouterSpec>();
  return {{"gate", static_cast<double>(s.gate)},
          {"experts_per_row", s.experts_per_row},
          {"groups", s.groups},
          {"groups_kept", s.groups_kept},
          {"normalise", s.normalise},
          {"scale", s.scale}};
}

}  // namespace

const Operator k_router = {.name = "router",
                           .infer = infer,
                           .reference = reference,
                           .backward = backward,
                           .backward_kernels = kBackward,
                           .settings = settings,
                           .kernels = kKernels,
                           .cases = cases};

}  // namespace landfall
