// Causal grouped-query attention: o = sum over visible t of softmax(scale * q·k_t) v_t. Vaswani et al., arXiv
// 1706.03762; shared key heads: Ainslie et al., arXiv 2305.13245; block-wise softmax: Dao et al., arXiv 2205.14135.
#include "tensor/attend.h"
#include "tensor/gemm.h"
#include "tensor/ops/common.h"
#define LANDFALL_TARGET_FILE "tensor/ops/attention.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
extern const Operator k_attention;

namespace {
struct Settings {
  float scale;
  int32_t slot;
};
}  // namespace

Tensor attention(Ctx& ctx, const Tensor& q, const Tensor& k, const Tensor& v, float scale, int slot) {
  const Tensor in[] = {q, k, v};
  return call_one(ctx, k_attention, in, {}, Attrs::of(Settings{scale, slot}));
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const Tensor &q = c.in[0], &k = c.in[1], &v = c.in[2];
  LANDFALL_CHECK(q.rank == 3 && k.rank == 3 && v.rank == 3 && q.last() == k.last() && k.shape[1] == v.shape[1] &&
                     q.shape[1] % k.shape[1] == 0 && q.rows() == k.rows() && k.rows() == v.rows(),
                 q.shape_text() + " " + k.shape_text() + " " + v.shape_text());
  c.out[0] = Tensor::of(result_type(q), {q.rows(), q.shape[1], v.last()});
}

// Without a cache: probabilities [visible] of query row r (batch index), head h; keys start at the run's first row.
std::vector<double> probabilities(const OpCall& c, const Run& run, const std::vector<double>& q,
                                  const std::vector<double>& k, int64_t row, int64_t h) {
  const int64_t heads = c.in[0].shape[1], groups = c.in[1].shape[1], d = c.in[0].last(), g = h / (heads / groups);
  std::vector<double> p;
  double most = -1e300, total = 0;
  for (int64_t t = 0; t <= row; ++t) {
    double s = 0;
    for (int64_t i = 0; i < d; ++i) {
      s += q[((run.first + row) * heads + h) * d + i] * k[((run.first + t) * groups + g) * d + i];
    }
    p.push_back(s * c.attrs.as<Settings>().scale);
    most = std::max(most, p.back());
  }
  for (double& s : p) total += s = std::exp(s - most);
  for (double& s : p) s /= total;
  return p;
}

// The meaning of attention, for runs without a cache.
void reference(Ctx& ctx, OpCall& c) {
  LANDFALL_CHECK(ctx.kv == nullptr, "the reference of attention knows no cache");
  const std::vector<double> q = load_doubles(c.in[0]), k = load_doubles(c.in[1]), v = load_doubles(c.in[2]);
  const int64_t heads = c.in[0].shape[1], groups = c.in[1].shape[1], dv = c.in[2].last();
  std::vector<double> out(static_cast<size_t>(c.out[0].elements()));
  for (const Run& run : ctx.batch.runs) {
    for (int64_t row = 0; row < run.count; ++row) {
      for (int64_t h = 0; h < heads; ++h) {
        const std::vector<double> p = probabilities(c, run, q, k, row, h);
        for (int64_t t = 0; t <= row; ++t)
          for (int64_t i = 0; i < dv; ++i)
            out[((run.first + row) * heads + h) * dv + i] +=
                p[t] * v[((run.first + t) * groups + h / (heads / groups)) * dv + i];
      }
    }
  }
  store_doubles(c.out[0], out);
}

void run_kernel(Ctx& ctx, OpCall& c) {
  const Tensor &q = c.in[0], &k = c.in[1], &v = c.in[2];
  const auto s = c.attrs.as<Settings>();
  const int64_t heads = q.shape[1], groups = k.shape[1], d = q.last(), dv = v.last();
  LANDFALL_CHECK(k.contiguous() && v.contiguous());
  const Arena::Mark mark = ctx.arena.mark();
  const size_t runs = ctx.batch.runs.size();
  auto* jobs = reinterpret_cast<AttendJob*>(ctx.arena.scratch(runs * sizeof(AttendJob)));
  for (size_t i = 0; i < runs; ++i) {
    const Run& run = ctx.batch.runs[i];
    AttendJob& job = jobs[i];
    job = {.q = data<float>(q) + run.first * q.stride[0],
           .q_row_stride = q.stride[0],
           .q_head_stride = q.stride[1],
           .out = data<float>(c.out[0]) + run.first * heads * dv,
           .out_row_stride = heads * dv,
           .out_head_stride = dv,
           .keys = {},
           .values = {},
           .heads = heads,
           .groups = groups,
           .key_width = d,
           .value_width = dv,
           .past = run.past,
           .count = run.count,
           .scale = s.scale};
    if (ctx.kv) {
      append_rows(ctx, s.slot, run, data<float>(k) + run.first * groups * d, groups * d, groups * d);
      append_rows(ctx, s.slot + 1, run, data<float>(v) + run.first * groups * dv, groups * dv, groups * dv);
      job.keys = {ctx.kv->pages(s.slot, run.sequence).data(), groups * d, d, ctx.kv->type()};
      job.values = {ctx.kv->pages(s.slot + 1, run.sequence).data(), groups * dv, dv, ctx.kv->type()};
    } else {
      job.keys = in_blocks(ctx, reinterpret_cast<const std::byte*>(data<float>(k) + run.first * groups * d), run.count,
                           groups * d, d, CacheType::f32);
      job.values = in_blocks(ctx, reinterpret_cast<const std::byte*>(data<float>(v) + run.first * groups * dv),
                             run.count, groups * dv, dv, CacheType::f32);
    }
  }
  attend(ctx, {jobs, runs});
  ctx.arena.rewind(mark);
}

// With P the probabilities and dP = dO·Vᵀ: dV = Pᵀ dO, dS = P (dP - sum(P dP)), dQ = scale dS K, dK = scale dSᵀ Q.
void backward(Ctx& ctx, const GradCall& g) {
  const OpCall& c = g.call;
  const std::vector<double> q = load_doubles(c.in[0]), k = load_doubles(c.in[1]), v = load_doubles(c.in[2]),
                            up = load_doubles(g.grad_out[0]);
  std::vector<double> grad_q(q.size()), grad_k(k.size()), grad_v(v.size());
  const int64_t heads = c.in[0].shape[1], groups = c.in[1].shape[1], d = c.in[0].last(), dv = c.in[2].last();
  const double scale = c.attrs.as<Settings>().scale;
  for (const Run& run : ctx.batch.runs) {
    for (int64_t row = 0; row < run.count; ++row) {
      for (int64_t h = 0; h < heads; ++h) {
        const std::vector<double> p = probabilities(c, run, q, k, row, h);
        const int64_t group = h / (heads / groups), q_at = ((run.first + row) * heads + h) * d;
        const double* dout = up.data() + ((run.first + row) * heads + h) * dv;
        std::vector<double> dp(p.size());
        double mean = 0;
        for (size_t t = 0; t < p.size(); ++t) {
          const int64_t v_at = ((run.first + static_cast<int64_t>(t)) * groups + group) * dv;
          for (int64_t i = 0; i < dv; ++i) {
            dp[t] += dout[i] * v[v_at + i];
            grad_v[v_at + i] += p[t] * dout[i];
          }
          mean += p[t] * dp[t];
        }
        for (size_t t = 0; t < p.size(); ++t) {
          const double ds = p[t] * (dp[t] - mean) * scale;
          const int64_t k_at = ((run.first + static_cast<int64_t>(t)) * groups + group) * d;
          for (int64_t i = 0; i < d; ++i) {
            grad_q[q_at + i] += ds * k[k_at + i];
            grad_k[k_at + i] += ds * q[q_at + i];
          }
        }
      }
    }
  }
  if (g.grad_in[0].buffer) add_doubles(g.grad_in[0], grad_q);
  if (g.grad_in[1].buffer) add_doubles(g.grad_in[1], grad_k);
  if (g.grad_in[2].buffer) add_doubles(g.grad_in[2], grad_v);
}

struct RowKernels {
  KernelSet set;
  void (*probabilities)(float* x, int64_t n, int64_t width, float scale);
  void (*score_gradients)(const float* p, float* grad, int64_t n, int64_t width, float scale);
};

#define LANDFALL_ROW(set) {KernelSet::set, set::probabilities_row, set::score_gradients_row},
constexpr RowKernels kRowKernels[] = {LANDFALL_EACH_SET(LANDFALL_ROW)};
#undef LANDFALL_ROW

// The same by blocks of 64 query rows of a head, whose probabilities are computed again: memory for two such blocks
// against one run's positions for each thread. Sums over queries go through heads and blocks in order, so a run and its
// key head are one thread's work: there are runs x key heads pieces of it.
void backward_kernel(Ctx& ctx, const GradCall& g) {
  constexpr int64_t kRows = 64;
  const Tensor &q = g.call.in[0], &k = g.call.in[1], &v = g.call.in[2];
  const int64_t heads = q.shape[1], groups = k.shape[1], d = q.last(), dv = v.last(), per_group = heads / groups;
  const float scale = g.call.attrs.as<Settings>().scale;
  const RowKernels& kernels = row_for(kRowKernels, ctx.device.kernels);
  int64_t longest = 0;
  for (const Run& run : ctx.batch.runs) longest = std::max<int64_t>(longest, run.count);
  const int64_t stride = (longest + 15) / 16 * 16 + 16;  // of a block's rows; lines of one column in different sets
  const int64_t floats = 2 * kRows * stride + gemm_scratch_floats();
  const Arena::Mark mark = ctx.arena.mark();
  auto* scratch = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(floats * 4 * ctx.pool.threads())));
  // Rows of one head of a run; gradients are dense.
  auto rows_of = [](const Tensor& t, int64_t first, int64_t head) {
    return Factor{.data = data<float>(t) + first * t.stride[0] + head * t.stride[1], .stride = t.stride[0]};
  };
  auto grad_of = [](const Tensor& t, int64_t first, int64_t head) {
    return data<float>(t) + first * t.stride[0] + head * t.stride[1];
  };
  const auto run_count = static_cast<int64_t>(ctx.batch.runs.size());
  ctx.pool.parallel_for(run_count * groups, 1, [&](int64_t begin, int64_t end, int thread) {
    float *p = scratch + floats * thread, *ds = p + kRows * stride, *own = ds + kRows * stride;
    for (int64_t task = begin; task < end; ++task) {
      const Run& run = ctx.batch.runs[static_cast<size_t>(task / groups)];
      const int64_t group = task % groups;
      const Factor keys = rows_of(k, run.first, group), values = rows_of(v, run.first, group);
      for (int64_t head = group * per_group; head < (group + 1) * per_group; ++head) {
        for (int64_t first = 0; first < run.count; first += kRows) {
          const int64_t rows = std::min(kRows, run.count - first), seen = first + rows;
          const Factor query = rows_of(q, run.first + first, head);
          const Factor up = rows_of(g.grad_out[0], run.first + first, head);
          const Factor weights{.data = p, .stride = stride}, slopes{.data = ds, .stride = stride};
          for (int64_t r = 0; r < rows; ++r) {
            std::memset(p + r * stride, 0, static_cast<size_t>(seen) * 4);
            std::memset(ds + r * stride, 0, static_cast<size_t>(seen) * 4);
          }
          gemm_here(ctx.device.kernels, {rows, seen, d, query, transposed(keys), p, stride}, own);
          gemm_here(ctx.device.kernels, {rows, seen, dv, up, transposed(values), ds, stride}, own);
          for (int64_t r = 0; r < rows; ++r) {
            kernels.probabilities(p + r * stride, first + r + 1, seen, scale);
            kernels.score_gradients(p + r * stride, ds + r * stride, first + r + 1, seen, scale);
          }
          auto add = [&](const Tensor& grad, int64_t row, int64_t h, int64_t m, int64_t n, int64_t depth, Factor a,
                         Factor b) {
            if (grad.buffer)
              gemm_here(ctx.device.kernels, {m, n, depth, a, b, grad_of(grad, row, h), grad.stride[0]}, own);
          };
          add(g.grad_in[0], run.first + first, head, rows, d, seen, slopes, keys);
          add(g.grad_in[1], run.first, group, seen, d, rows, transposed(slopes), query);
          add(g.grad_in[2], run.first, group, seen, dv, rows, transposed(weights), up);
        }
      }
    }
  });
  ctx.arena.rewind(mark);
}

Cost cost(const Ctx& ctx, const OpCall& c) {
  Cost out;
  const auto heads = static_cast<double>(c.in[0].shape[1]);
  const auto width = static_cast<double>(c.in[0].last() + c.in[2].last());
  const int64_t keys = c.in[1].shape[1] * c.in[1].last(), values = c.in[2].shape[1] * c.in[2].last();
  for (const Run& run : ctx.batch.runs) {
    const double pairs = static_cast<double>(run.count) * (run.past + (run.count + 1) / 2.0);
    out.operations += 2.0 * pairs * heads * width;
    if (!ctx.kv) continue;
    const CacheType type = ctx.kv->type();
    out.cache_bytes +=
        (run.past + run.count) * static_cast<double>(cache_row_bytes(type, keys) + cache_row_bytes(type, values));
  }
  return out;
}

std::vector<OpCase> cases() {
  auto make = [](std::string name, std::vector<Run> runs, int64_t heads, int64_t groups, int64_t d, int64_t dv) {
    int64_t rows = 0;
    for (const Run& run : runs) rows += run.count;
    return OpCase{
        .name = std::move(name),
        .runs = std::move(runs),
        .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
          const Tensor q = in.tensor(ctx, {rows, heads, d}, -2, 2), k = in.tensor(ctx, {rows, groups, d}, -2, 2);
          return {attention(ctx, q, k, in.tensor(ctx, {rows, groups, dv}), 0.3f, 0)};
        },
        .differentiable = rows < 20};
  };
  return {make("one row", one_run(1), 2, 1, 16, 16), make("grouped heads", one_run(9), 4, 2, 16, 24),
          make("two documents", {{0, 5, 0, 0, true}, {5, 7, 0, 1, true}}, 2, 2, 8, 8),
          make("odd widths", one_run(6), 3, 1, 13, 7), make("several blocks", one_run(300), 2, 1, 32, 32)};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run_kernel}};  // the kernel set acts inside attend()
constexpr GradKernel kBackward[] = {{KernelSet::scalar, backward_kernel}};

std::vector<std::pair<std::string, double>> settings(const Attrs& a) { return {{"scale", a.as<Settings>().scale}}; }

}  // namespace

const Operator k_attention = {.name = "attention",
                              .infer = infer,
                              .reference = reference,
                              .backward = backward,
                              .backward_kernels = kBackward,
                              .cost = cost,
                              .settings = settings,
                              .kernels = kKernels,
                              .cases = cases};

}  // namespace landfall
