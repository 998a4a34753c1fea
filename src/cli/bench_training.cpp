#include "cli/bench_training.h"

#include <cstdio>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/bench_model.h"
#include "cli/peak_memory.h"
#include "cli/terminal.h"
#include "cli/training_flags.h"
#include "lifecycle/store.h"
#include "runtime/load.h"
#include "tensor/probe.h"
#include "train/optimizer.h"
#include "train/step.h"

namespace landfall {
namespace {

struct Shape {
  int64_t length = 0, sequences = 0, repeats = 0;
  Recompute recompute = Recompute::none;
  std::string recompute_name;

  int64_t tokens() const { return length * sequences; }
};

Result<Shape> shape_of(const Arguments& a, const Config& config) {
  Shape out{.recompute_name = a.text("recompute", "none")};
  LANDFALL_ASSIGN(out.length, integer(a, "prompt", 512, 2, config.context));
  LANDFALL_ASSIGN(out.sequences, integer(a, "sequences", 1, 1, 512));
  LANDFALL_ASSIGN(out.repeats, integer(a, "repeats", 5, 1, 1000));
  LANDFALL_ASSIGN(out.recompute, chosen_recompute(a, "none"));
  return out;
}

// Arbitrary tokens, each the target of the one before.
struct Rows {
  std::vector<int32_t> tokens, positions, targets;
  std::vector<Run> runs;

  Rows(const Shape& shape, int64_t vocab) {
    auto token = [&](int64_t i) { return static_cast<int32_t>((i * 7919 + 13) % vocab); };
    for (int64_t s = 0; s < shape.sequences; ++s) {
      runs.push_back({static_cast<int32_t>(s * shape.length), static_cast<int32_t>(shape.length), 0,
                      static_cast<int32_t>(s), true});
      for (int64_t i = 0; i < shape.length; ++i) {
        tokens.push_back(token(s * shape.length + i));
        positions.push_back(static_cast<int32_t>(i));
        targets.push_back(token(s * shape.length + i + 1));
      }
    }
  }
  TrainingRows view() const { return {tokens, positions, targets, runs}; }
};

// Multiply-adds count two: three products, one forward and two back, with every matrix that a token passes, and with
// keys and values of all positions. Recomputed layers are no work of the model's.
double operations_of_token(const Model& model, const Shape& shape) {
  const Config& c = model.config();
  double matrices = 0;
  for (const Weight& w : model.weights()) {
    if (w.out == 1 || (model.spec(w).name == "token_embd" && !c.tied)) continue;
    const auto used = static_cast<double>(w.experts > 1 ? c.router.experts_per_row : 1);
    matrices += used * static_cast<double>(w.out) * static_cast<double>(w.in);
  }
  return 6.0 * matrices + 12.0 * static_cast<double>(c.layers * c.heads * c.head_dim * shape.length);
}

struct Samples {
  std::vector<double> seconds, gradients, share;  // of steps; of their passes; of the peak beside them
  std::vector<double> peak;                       // operations per second
};

Samples measure(Env& env, ThreadPool& pool, KernelSet kernels, const Model& model, Trainable& trainable,
                const Shape& shape) {
  Step step(model, trainable, pool, kernels, shape.recompute);
  Optimizer optimizer({}, trainable.parameters());
  const Rows rows(shape, model.config().vocab);
  const std::vector<double> weights(static_cast<size_t>(shape.tokens()), 1.0 / static_cast<double>(shape.tokens()));
  const double operations = operations_of_token(model, shape) * static_cast<double>(shape.tokens());
  Samples out;
  for (int64_t r = -1; r < shape.repeats; ++r) {  // the first run warms up
    const double before = measure_peak(env, pool, kernels, Activation::bf16, 3);
    const double start = env.seconds();
    step.zero_gradients();
    step.add_gradients(rows.view(), weights);
    const double gradients = env.seconds() - start;
    std::vector<Tensor> all;
    for (const Parameter& p : trainable.parameters()) all.push_back(step.gradient(p));
    const double norm = Optimizer::norm(trainable.parameters(), all, pool);
    optimizer.update(trainable.parameters(), all, norm, 1e-5, r + 1, pool, kernels);
    trainable.publish(pool);
    const double seconds = env.seconds() - start;
    const double peak = (before + measure_peak(env, pool, kernels, Activation::bf16, 3)) / 2;
    if (stderr_is_terminal()) {
      std::fprintf(stderr, "\r\033[Kstep %lld of %lld", static_cast<long long>(r + 1),
                   static_cast<long long>(shape.repeats));
    }
    if (r < 0) continue;
    out.seconds.push_back(seconds);
    out.gradients.push_back(gradients);
    out.peak.push_back(peak);
    out.share.push_back(operations / seconds / peak);
  }
  if (stderr_is_terminal()) std::fprintf(stderr, "\r\033[K");
  return out;
}

}  // namespace

Status bench_training(CommandContext& context, const EngineOptions& options) {
  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, context.arguments.text("MODEL")));
  LANDFALL_ASSIGN(const Loaded loaded, load(context.env, path, options, 1, [](uint64_t, uint64_t) { return true; }));
  const Model& model = *loaded.model;
  LANDFALL_ASSIGN(const Shape shape, shape_of(context.arguments, model.config()));
  ThreadPool pool(loaded.options.threads);
  const KernelSet kernels = loaded.options.device.kernels;
  LANDFALL_ASSIGN(const Precision precision, chosen_precision(context.arguments));
  LANDFALL_ASSIGN(Trainable trainable, Trainable::full(model, pool, precision));
  const Samples samples = measure(context.env, pool, kernels, model, trainable, shape);
  const int64_t peak_bytes = peak_resident_bytes(context.env);

  const Spread seconds = spread(samples.seconds), share = spread(samples.share), peak = spread(samples.peak);
  const auto tokens = static_cast<double>(shape.tokens());
  const double rate = tokens / seconds.median;
  const double operations = operations_of_token(model, shape) * rate;
  const double optimizer = 1 - spread(samples.gradients).median / seconds.median;
  if (context.json) {
    Json out;
    out.set("model", path).set("threads", pool.threads()).set("kernels", std::string(name(kernels)));
    out.set("prompt", shape.length).set("sequences", shape.sequences).set("repeats", shape.repeats);
    out.set("precision", precision == Precision::bf16 ? "bf16" : "f32")
        .set("recompute", shape.recompute_name)
        .set("parameters", trainable.elements());
    out.set("training_tokens_per_second", rate);
    out.set("training_spread", Json(Json::Array{Json(tokens / seconds.high), Json(rate), Json(tokens / seconds.low)}));
    out.set("model_ops_per_second", operations).set("peak_ops_per_second", peak.median);
    out.set("share_of_peak", share.median);
    out.set("share_of_peak_spread", Json(Json::Array{Json(share.low), Json(share.median), Json(share.high)}));
    out.set("optimizer_share_of_time", optimizer).set("peak_bytes", peak_bytes);
    std::printf("%s\n", out.dump(2).c_str());
    return {};
  }
  std::printf("%s, kernels %s, %d threads; median of %lld steps (lowest to highest)\n", path.c_str(),
              std::string(name(kernels)).c_str(), pool.threads(), static_cast<long long>(shape.repeats));
  std::printf("  training  %8.1f tokens/s  (%.1f to %.1f)  %lld sequences of %lld; %.0f%% of the time the optimizer\n",
              rate, tokens / seconds.high, tokens / seconds.low, static_cast<long long>(shape.sequences),
              static_cast<long long>(shape.length), 100 * optimizer);
  std::printf("  work      %8.1f GFLOP/s of the model's own; %.0f%% (%.0f%% to %.0f%%) of the peak beside it, %.1f\n",
              operations / 1e9, 100 * share.median, 100 * share.low, 100 * share.high, peak.median / 1e9);
  std::printf("  memory    %8s at most for %lld numbers; %s, recompute %s\n",
              human_bytes(static_cast<uint64_t>(peak_bytes)).c_str(), static_cast<long long>(trainable.elements()),
              precision == Precision::bf16 ? "bf16" : "f32", shape.recompute_name.c_str());
  return {};
}

}  // namespace landfall
