// Rotary position embedding. Su et al., arXiv 2104.09864; scaling of the frequencies is the model's (see model/rope.h).
#include "tensor/ops/common.h"

namespace landfall {
extern const Operator k_rope;

Tensor rope(Ctx& ctx, const Tensor& x, const Tensor& positions, const RopeSpec& spec) {
  const Tensor in[] = {x, positions};
  return call_one(ctx, k_rope, in, {}, Attrs::of(spec));
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const auto s = c.attrs.as<RopeSpec>();
  LANDFALL_CHECK(c.in[0].rank == 3 && s.dims % 2 == 0 && s.first + s.dims <= c.in[0].last(), c.in[0].shape_text());
  LANDFALL_CHECK(c.in[1].elements() == c.in[0].rows());
  c.out[0] = same_shape(c.in[0]);
}

// Indices of the two members of pair i.
std::pair<int64_t, int64_t> pair_of(const RopeSpec& s, int64_t i) {
  return s.interleaved ? std::pair{s.first + 2 * i, s.first + 2 * i + 1}
                       : std::pair{s.first + i, s.first + i + s.dims / 2};
}

// Rotates every head of every row by direction (+1 or -1) times its angle.
void rotate(const OpCall& c, std::vector<double>& x, double direction) {
  const auto s = c.attrs.as<RopeSpec>();
  const std::vector<double> positions = load_doubles(c.in[1]);
  const int64_t heads = c.in[0].shape[1], d = c.in[0].last();
  for (size_t r = 0; r < positions.size(); ++r) {
    for (int64_t i = 0; i < s.dims / 2; ++i) {
      const double angle = positions[r] * s.inverse_frequency[i];
      const double cosine = std::cos(angle) * s.magnitude, sine = direction * std::sin(angle) * s.magnitude;
      const auto [a, b] = pair_of(s, i);
      for (int64_t h = 0; h < heads; ++h) {
        double* row = x.data() + (static_cast<int64_t>(r) * heads + h) * d;
        const double xa = row[a], xb = row[b];
        row[a] = xa * cosine - xb * sine;
        row[b] = xa * sine + xb * cosine;
      }
    }
  }
}

void reference(Ctx&, OpCall& c) {
  std::vector<double> x = load_doubles(c.in[0]);
  rotate(c, x, 1);
  store_doubles(c.out[0], x);
}

void run(Ctx& ctx, OpCall& c) {
  const auto s = c.attrs.as<RopeSpec>();
  const Tensor& x = c.in[0];
  const int64_t heads = x.shape[1], d = x.last(), half = s.dims / 2;
  ctx.pool.parallel_for(x.rows(), 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      float* out = data<float>(c.out[0]) + r * heads * d;
      for (int64_t h = 0; h < heads; ++h) {
        std::memcpy(out + h * d, data<float>(x) + r * x.stride[0] + h * x.stride[1], static_cast<size_t>(d) * 4);
      }
      const auto position = static_cast<float>(data<int32_t>(c.in[1])[r]);
      for (int64_t i = 0; i < half; ++i) {
        const float angle = position * s.inverse_frequency[i];
        const float cosine = std::cos(angle) * s.magnitude, sine = std::sin(angle) * s.magnitude;
        const auto [a, b] = pair_of(s, i);
        for (int64_t h = 0; h < heads; ++h) {
          const float xa = out[h * d + a], xb = out[h * d + b];
          out[h * d + a] = xa * cosine - xb * sine;
          out[h * d + b] = xa * sine + xb * cosine;
        }
      }
    }
  });
}

void backward(Ctx&, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  std::vector<double> up = load_doubles(g.grad_out[0]);
  rotate(g.call, up, -1);
  add_doubles(g.grad_in[0], up);
}

void backward_kernel(Ctx& ctx, const GradCall& g) {
  if (!g.grad_in[0].buffer) return;
  const auto s = g.call.attrs.as<RopeSpec>();
  const int64_t heads = g.call.in[0].shape[1], d = g.call.in[0].last(), half = s.dims / 2;
  ctx.pool.parallel_for(g.call.in[0].rows(), 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* up = data<float>(g.grad_out[0]) + r * heads * d;
      float* grad = data<float>(g.grad_in[0]) + r * heads * d;
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t i = 0; i < s.first; ++i) grad[h * d + i] += up[h * d + i];
        for (int64_t i = s.first + s.dims; i < d; ++i) grad[h * d + i] += up[h * d + i];
      }
      const auto position = static_cast<float>(data<int32_t>(g.call.in[1])[r]);
      for (int64_t i = 0; i < half; ++i) {
        const float angle = position * s.inverse_frequency[i];
        const float cosine = std::cos(angle) * s.magnitude, sine = std::sin(angle) * s.magnitude;
        const auto [a, b] = pair_of(s, i);
        for (int64_t h = 0; h < heads; ++h) {
          const float ua = up[h * d + a], ub = up[h * d + b];
          grad[h * d + a] += ua * cosine + ub * sine;
          grad[h * d + b] += ub * cosine - ua * sine;
        }
      }
    }
  });
}

Cost cost(const Ctx&, const OpCall& c) { return {.operations = 3.0 * static_cast<double>(c.in[0].elements())}; }

std::vector<OpCase> cases() {
  std::vector<OpCase> out;
  for (bool interleaved : {false, true}) {
    out.push_back({.name = interleaved ? "interleaved" : "half-split",
                   .runs = one_run(6),
                   .run = [interleaved](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                     RopeSpec spec{2, 10, interleaved, 1.25f, in.constants({1.0f, 0.5f, 0.1f, 0.02f, 0.001f})};
                     return {rope(ctx, in.tensor(ctx, {6, 3, 14}), ctx.positions, spec)};
                   }});
  }
  return out;
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run}};
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

std::vector<std::pair<std::string, double>> settings(const Attrs& a) {
  const auto s = a.as<RopeSpec>();
  return {{"first", s.first}, {"dims", s.dims}, {"interleaved", s.interleaved}, {"magnitude", s.magnitude}};
}

}  // namespace

const Operator k_rope = {.name = "rope",
                         .infer = infer,
                         .reference = reference,
                         .backward = backward,
                         .backward_kernels = kBackward,
                         .cost = cost,
                         .settings = settings,
                         .kernels = kKernels,
                         .cases = cases};

}  // namespace landfall
