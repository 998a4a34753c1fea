// The Kullback-Leibler divergence of a student's rows of logits x from a teacher's t, with p = softmax(t / T) and
// q = softmax(x / T): sum p (log p - log q). Its gradient is (q - p) / T for the student, p (log p - log q -
// divergence) / T for the teacher.
#include "tensor/ops/common.h"

namespace landfall {
namespace {

struct Settings {
  double temperature;
};

}  // namespace
}  // namespace landfall

#define LANDFALL_TARGET_FILE "tensor/ops/kl_divergence.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
extern const Operator k_kl_divergence;

Tensor kl_divergence(Ctx& ctx, const Tensor& x, const Tensor& teacher, double temperature) {
  const Tensor in[] = {x, teacher};
  return call_one(ctx, k_kl_divergence, in, {}, Attrs::of(Settings{temperature}));
}

namespace {

void infer(const Ctx&, OpCall& c) {
  LANDFALL_CHECK(c.in[0].rank == 2 && c.in[0].last() > 0 && c.in[0].shape == c.in[1].shape && c.in[0].contiguous() &&
                     c.in[1].contiguous() && c.attrs.as<Settings>().temperature > 0,
                 c.in[0].shape_text() + " and " + c.in[1].shape_text());
  c.out[0] = Tensor::of(result_type(c.in[0]), {c.in[0].rows()});
}

// log softmax(x / temperature) of n numbers.
std::vector<double> log_shares(const double* x, size_t n, double temperature) {
  const double most = *std::max_element(x, x + n);
  double total = 0;
  for (size_t i = 0; i < n; ++i) total += std::exp((x[i] - most) / temperature);
  std::vector<double> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = (x[i] - most) / temperature - std::log(total);
  return out;
}

double divergence(const std::vector<double>& student, const std::vector<double>& teacher) {
  double out = 0;
  for (size_t i = 0; i < student.size(); ++i) out += std::exp(teacher[i]) * (teacher[i] - student[i]);
  return out;
}

void reference(Ctx&, OpCall& c) {
  const auto n = static_cast<size_t>(c.in[0].last());
  const double temperature = c.attrs.as<Settings>().temperature;
  const std::vector<double> x = load_doubles(c.in[0]), teacher = load_doubles(c.in[1]);
  std::vector<double> out(x.size() / n);
  for (size_t r = 0; r < out.size(); ++r) {
    out[r] =
        divergence(log_shares(x.data() + r * n, n, temperature), log_shares(teacher.data() + r * n, n, temperature));
  }
  store_doubles(c.out[0], out);
}

void backward(Ctx&, const GradCall& g) {
  const auto n = static_cast<size_t>(g.call.in[0].last());
  const double temperature = g.call.attrs.as<Settings>().temperature;
  const std::vector<double> x = load_doubles(g.call.in[0]), teacher = load_doubles(g.call.in[1]),
                            up = load_doubles(g.grad_out[0]);
  std::vector<double> grad_x(x.size()), grad_teacher(x.size());
  for (size_t r = 0; r < up.size(); ++r) {
    const auto q = log_shares(x.data() + r * n, n, temperature), p = log_shares(teacher.data() + r * n, n, temperature);
    const double whole = divergence(q, p), factor = up[r] / temperature;
    for (size_t i = 0; i < n; ++i) {
      grad_x[r * n + i] = factor * (std::exp(q[i]) - std::exp(p[i]));
      grad_teacher[r * n + i] = factor * std::exp(p[i]) * (p[i] - q[i] - whole);
    }
  }
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], grad_x);
  if (g.grad_in[1].buffer) add_doubles(g.grad_in[1], grad_teacher);
}

Cost cost(const Ctx&, const OpCall& c) { return {.operations = 10.0 * static_cast<double>(c.in[0].elements())}; }

std::vector<OpCase> cases() {
  auto make = [](std::string name, int32_t rows, int64_t n, double range, double temperature) {
    return OpCase{
        .name = std::move(name), .runs = one_run(rows), .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
          const Tensor x = in.tensor(ctx, {rows, n}, -range, range);
          return {kl_divergence(ctx, x, in.tensor(ctx, {rows, n}, -range, range), temperature)};
        }};
  };
  return {make("two", 3, 2, 3, 1), make("odd, hot", 5, 37, 3, 4), make("whole vectors", 3, 64, 3, 1),
          make("wide range, cold", 4, 50, 10, 0.5)};
}

constexpr Kernel kKernels[] = {LANDFALL_KERNELS(kl_divergence_kernel)};
constexpr GradKernel kBackward[] = {LANDFALL_KERNELS(kl_divergence_backward)};

}  // namespace

const Operator k_kl_divergence = {.name = "kl_divergence",
                                  .infer = infer,
                                  .reference = reference,
                                  .backward = backward,
                                  .backward_kernels = kBackward,
                                  .cost = cost,
                                  .kernels = kKernels,
                                  .cases = cases};

}  // namespace landfall
