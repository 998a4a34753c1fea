// Multi-head latent attention. DeepSeek-V2, arXiv 2405.04434, section 2.1. The cache holds [latent | key_rope] per
// position. Two forms of the same result:
//   expanded: k[h] = [W_K[h] latent ; key_rope], v[h] = W_V[h] latent, then plain attention (long prefill, training)
//   absorbed: q_lat[h] = W_K[h]ᵀ q_nope[h]; scores q_lat·latent + q_rope·key_rope; o[h] = W_V[h] (sum p latent): all
//             heads share one pass over the latent rows (decode)
// Which form a run takes is fixed by its request (Run::expanded).
#include <optional>

#include "tensor/attend.h"
#include "tensor/ops/common.h"
#include "tensor/transposed.h"

namespace landfall {
extern const Operator k_latent_attention;

namespace {
struct Settings {
  float scale;
  int32_t slot;
};

struct Shape {
  int64_t rows, heads, nope, rope, lora, v;
};

Shape shape_of(const OpCall& c) {
  const int64_t rope = c.in[2].last();
  return {c.in[0].rows(), c.in[0].shape[1], c.in[0].last() - rope, rope, c.in[1].last(), c.weights[2]->out};
}
}  // namespace

Tensor latent_attention(Ctx& ctx, const Tensor& q, const Tensor& latent, const Tensor& key_rope, const Weight* key_up,
                        const Weight* key_absorb, const Weight& value_up, float scale, int slot) {
  const Tensor in[] = {q, latent, key_rope};
  const Weight* w[] = {key_up, key_absorb, &value_up};
  return call_one(ctx, k_latent_attention, in, w, Attrs::of(Settings{scale, slot}));
}

namespace {

void infer(const Ctx&, OpCall& c) {
  const Shape s = shape_of(c);
  LANDFALL_CHECK((c.weights[0] == nullptr) != (c.weights[1] == nullptr), "exactly one form of the key matrix");
  const Weight& key = c.weights[0] ? *c.weights[0] : *c.weights[1];
  LANDFALL_CHECK(key.experts == s.heads &&
                     (c.weights[0] ? key.in == s.lora && key.out == s.nope : key.in == s.nope && key.out == s.lora),
                 key.name);
  LANDFALL_CHECK(c.weights[2]->experts == s.heads && c.weights[2]->in == s.lora, c.weights[2]->name);
  c.out[0] = Tensor::of(result_type(c.in[0]), {s.rows, s.heads, s.v});
}

Tensor keys_of(Ctx& ctx, const OpCall& c, const Tensor& latent) {
  return c.weights[0] ? head_linear(ctx, latent, *c.weights[0]) : head_linear(ctx, latent, *c.weights[1], true);
}

// The meaning, and the form that training and tracing take: expanded, by smaller operators, without a cache.
void expand(Ctx& ctx, OpCall& c) {
  const Tensor k = concat(ctx, keys_of(ctx, c, c.in[1]), c.in[2]);
  const Tensor v = head_linear(ctx, c.in[1], *c.weights[2]);
  c.out[0] = attention(ctx, c.in[0], k, v, c.attrs.as<Settings>().scale, c.attrs.as<Settings>().slot);
}

// Rows [first, first + count) of a tensor.
Tensor rows_of(const Tensor& t, int64_t first, int64_t count) {
  Tensor out = t;
  out.offset += first * t.stride[0] * size_of(t.type);
  out.shape[0] = count;
  return out;
}

// Consecutive runs in the absorbed form: their rows go through each head's matrices together.
void run_absorbed(Ctx& ctx, const OpCall& c, std::span<const Run> runs, const Shape& s) {
  const auto settings = c.attrs.as<Settings>();
  const int64_t first = runs.front().first, count = runs.back().first + runs.back().count - first;
  const Tensor q = rows_of(c.in[0], first, count);
  const Tensor nope = slice(ctx, q, 0, s.nope);
  const Tensor q_latent =
      c.weights[0] ? head_linear(ctx, nope, *c.weights[0], true) : head_linear(ctx, nope, *c.weights[1]);
  const Tensor query = concat(ctx, q_latent, slice(ctx, q, s.nope, s.rope));
  Tensor attended = Tensor::of(DType::f32, {count, s.heads, s.lora});
  ctx.arena.place(attended);
  const int64_t width = s.lora + s.rope;
  auto* jobs = reinterpret_cast<AttendJob*>(ctx.arena.scratch(runs.size() * sizeof(AttendJob)));
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& run = runs[i];
    const CachedRows rows{ctx.kv->pages(settings.slot, run.sequence).data(), width, 0, ctx.kv->type()};
    jobs[i] = {.q = data<float>(query) + (run.first - first) * s.heads * width,
               .q_row_stride = s.heads * width,
               .q_head_stride = width,
               .out = data<float>(attended) + (run.first - first) * s.heads * s.lora,
               .out_row_stride = s.heads * s.lora,
               .out_head_stride = s.lora,
               .keys = rows,
               .values = rows,
               .heads = s.heads,
               .groups = 1,
               .key_width = width,
               .value_width = s.lora,
               .past = run.past,
               .count = run.count,
               .scale = settings.scale};
  }
  attend(ctx, {jobs, runs.size()});
  const Tensor out = head_linear(ctx, attended, *c.weights[2]);
  std::memcpy(data<float>(c.out[0]) + first * s.heads * s.v, data<float>(out),
              static_cast<size_t>(count * s.heads * s.v) * 4);
}

// Positions that are expanded at once, so that what a long past needs besides its cache does not grow with it.
constexpr int64_t kExpanded = 8 * kPagePositions;

// As rows of a plain cache would be; these live for a step alone and need not be smaller than bf16.
CacheType expanded_type(const Ctx& ctx) { return ctx.kv->type() == CacheType::f32 ? CacheType::f32 : CacheType::bf16; }

// Memory for that, beside the outputs.
int64_t expanded_bytes(const Ctx& ctx, const OpCall& c, const Shape& s, int64_t positions) {
  const int64_t numbers = 4 * (s.lora + s.rope + s.heads * (s.nope + s.v));
  const int64_t rows = cache_row_bytes(expanded_type(ctx), s.heads * (s.nope + s.rope + s.v));
  return std::min(positions, kExpanded) * (numbers + rows) + (c.weights[0] ? 0 : transposed_bytes(ctx, *c.weights[1]));
}

void run_expanded(Ctx& ctx, const OpCall& c, const Run& run, const Shape& s) {
  const auto settings = c.attrs.as<Settings>();
  const int64_t total = run.past + run.count, width = s.lora + s.rope, d = s.nope + s.rope;
  // The key matrix turned once, where it is the absorbed one.
  Weight turned;
  std::optional<Buffer> memory;
  if (!c.weights[0]) {
    const int64_t bytes = transposed_bytes(ctx, *c.weights[1]);
    memory.emplace(ctx.arena.scratch(static_cast<size_t>(bytes)), static_cast<size_t>(bytes));
    turned = transpose(ctx, *c.weights[1], *memory);
  }
  const Weight& key_up = c.weights[0] ? *c.weights[0] : turned;
  const Tensor& q = c.in[0];
  AttendJob job{.q = data<float>(q) + run.first * q.stride[0],
                .q_row_stride = q.stride[0],
                .q_head_stride = q.stride[1],
                .out = data<float>(c.out[0]) + run.first * s.heads * s.v,
                .out_row_stride = s.heads * s.v,
                .out_head_stride = s.v,
                .keys = {},
                .values = {},
                .heads = s.heads,
                .groups = s.heads,
                .key_width = d,
                .value_width = s.v,
                .past = run.past,
                .count = run.count,
                .scale = settings.scale};
  auto* states =
      reinterpret_cast<AttendState*>(ctx.arena.scratch(static_cast<size_t>(attend_states(job)) * sizeof(AttendState)));
  const CacheType type = expanded_type(ctx);
  const int64_t unit = cache_row_bytes(type, 1);
  for (int64_t first = 0; first < total; first += kExpanded) {
    const int64_t count = std::min(kExpanded, total - first);
    const Arena::Mark mark = ctx.arena.mark();
    // From the cache, new rows included: a row must read the same rounded numbers whichever step it was stored in.
    Tensor latent = Tensor::of(DType::f32, {count, s.lora}), key_rope = Tensor::of(DType::f32, {count, s.rope});
    ctx.arena.place(latent);
    ctx.arena.place(key_rope);
    gather_rows(ctx, settings.slot, run.sequence, first, count, width, 0, s.lora, data<float>(latent));
    gather_rows(ctx, settings.slot, run.sequence, first, count, width, s.lora, s.rope, data<float>(key_rope));
    const Tensor value = head_linear(ctx, latent, *c.weights[2]), nope = head_linear(ctx, latent, key_up);
    std::byte* keys = ctx.arena.scratch(static_cast<size_t>(count * s.heads * d * unit));
    std::byte* values = ctx.arena.scratch(static_cast<size_t>(count * s.heads * s.v * unit));
    ctx.pool.parallel_for(count, 8, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        for (int64_t h = 0; h < s.heads; ++h) {
          std::byte* key = keys + (t * s.heads + h) * d * unit;
          store_as(ctx, type, data<float>(nope) + (t * s.heads + h) * s.nope, s.nope, key);
          store_as(ctx, type, data<float>(key_rope) + t * s.rope, s.rope, key + s.nope * unit);
        }
        store_as(ctx, type, data<float>(value) + t * s.heads * s.v, s.heads * s.v, values + t * s.heads * s.v * unit);
      }
    });
    job.keys = in_blocks(ctx, keys, count, s.heads * d, d, type);
    job.values = in_blocks(ctx, values, count, s.heads * s.v, s.v, type);
    job.first_block = first / kPagePositions;
    attend_blocks(ctx, job, (count + kPagePositions - 1) / kPagePositions, states);
    ctx.arena.rewind(mark);
  }
}

void run_kernel(Ctx& ctx, OpCall& c) {
  if (!ctx.kv) {
    OpCall inner = c;
    Tensor result;
    inner.out = {&result, 1};
    const Arena::Mark mark = ctx.arena.mark();
    expand(ctx, inner);
    std::memcpy(data<float>(c.out[0]), data<float>(result), static_cast<size_t>(result.elements()) * 4);
    ctx.arena.rewind(mark);
    return;
  }
  const Shape s = shape_of(c);
  const auto settings = c.attrs.as<Settings>();
  const std::span<const Run> runs = ctx.batch.runs;
  const Arena::Mark before = ctx.arena.mark();
  const Tensor rows = concat(ctx, c.in[1], c.in[2]);
  for (const Run& run : runs)
    append_rows(ctx, settings.slot, run, data<float>(rows) + run.first * rows.last(), rows.last(), rows.last());
  ctx.arena.rewind(before);
  for (size_t i = 0; i < runs.size();) {
    size_t next = i + 1;
    const Arena::Mark mark = ctx.arena.mark();
    if (runs[i].expanded) {
      run_expanded(ctx, c, runs[i], s);
    } else {
      while (next < runs.size() && !runs[next].expanded) ++next;
      run_absorbed(ctx, c, runs.subspan(i, next - i), s);
    }
    ctx.arena.rewind(mark);
    i = next;
  }
}

// Of the absorbed form for runs that take it, else of the expanded one.
Cost cost(const Ctx& ctx, const OpCall& c) {
  const Shape s = shape_of(c);
  const auto heads = static_cast<double>(s.heads);
  Cost out;
  const Weight& key = c.weights[0] ? *c.weights[0] : *c.weights[1];
  out.weight_bytes = weight_read_bytes(key, heads) + weight_read_bytes(*c.weights[2], heads);
  const double per_row = 2.0 * static_cast<double>(key.elements() + c.weights[2]->elements());
  for (const Run& run : ctx.batch.runs) {
    const double pairs = static_cast<double>(run.count) * (run.past + (run.count + 1) / 2.0);
    const auto width = static_cast<double>(run.expanded ? s.nope + s.rope + s.v : 2 * s.lora + s.rope);
    out.operations += 2.0 * pairs * heads * width + per_row * (run.expanded ? run.past + run.count : run.count);
    if (ctx.kv) {
      out.cache_bytes += (run.past + run.count) * static_cast<double>(cache_row_bytes(ctx.kv->type(), s.lora + s.rope));
      if (run.expanded)
        out.scratch_bytes =
            std::max(out.scratch_bytes, static_cast<double>(expanded_bytes(ctx, c, s, run.past + run.count)));
    }
  }
  return out;
}

std::vector<OpCase> cases() {
  auto make = [](std::string name, bool absorbed_weight, const char* format, double tolerance) {
    return OpCase{.name = std::move(name),
                  .runs = one_run(7),
                  .run = [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                    const Tensor q = in.tensor(ctx, {7, 3, 24}, -2, 2), latent = in.tensor(ctx, {7, 32});
                    const Tensor key_rope = in.tensor(ctx, {7, 8});
                    const Weight& key = absorbed_weight ? in.weight("F32", 3, 32, 16) : in.weight(format, 3, 16, 32);
                    const Weight& value = in.weight(format, 3, 20, 32);
                    return {latent_attention(ctx, q, latent, key_rope, absorbed_weight ? nullptr : &key,
                                             absorbed_weight ? &key : nullptr, value, 0.2f, 0)};
                  },
                  .tolerance = tolerance,
                  .differentiable = std::string_view(format) == "F32"};
  };
  return {make("key as projected", false, "F32", 2e-6), make("key as absorbed", true, "F32", 2e-6),
          make("Q8_0", false, "Q8_0", 2e-2)};
}

constexpr Kernel kKernels[] = {{KernelSet::scalar, run_kernel}};

std::vector<std::pair<std::string, double>> settings(const Attrs& a) { return {{"scale", a.as<Settings>().scale}}; }

}  // namespace

const Operator k_latent_attention = {.name = "latent_attention",
                                     .infer = infer,
                                     .expand = expand,
                                     .cost = cost,
                                     .settings = settings,
                                     .kernels = kKernels,
                                     .cases = cases};

}  // namespace landfall
