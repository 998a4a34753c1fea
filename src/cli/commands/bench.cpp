// bench: how fast a model loads, reads a prompt and generates here, beside what this machine can do at most.
#include <algorithm>
#include <cstdio>

#include "cli/long_work.h"
#include "cli/model_loading.h"
#include "cli/terminal.h"
#include "lifecycle/store.h"
#include "model/random_model.h"
#include "runtime/load.h"
#include "tensor/probe.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "MODEL", .help = "a name from 'landfall list', or a path; without one the machine alone is measured"},
    {.name = "prompt", .kind = Flag::Kind::integer, .help = "tokens of the prompt", .otherwise = "512"},
    {.name = "generate", .kind = Flag::Kind::integer, .help = "tokens generated after it", .otherwise = "64"},
    {.name = "repeats", .kind = Flag::Kind::integer, .help = "runs; medians are printed", .otherwise = "5"},
    kThreadsFlag,
    {.name = "random", .help = "write a file of random weights of this model's true shape, instead of measuring"},
    {.name = "write", .help = "the file to write"},
    {.name = "type", .help = "its number format, for example Q4_0, Q4_K_M or BF16", .otherwise = "Q4_0"},
    {.name = "layers", .kind = Flag::Kind::integer, .help = "fewer layers than the model has", .otherwise = "all"},
    {.name = "seed", .kind = Flag::Kind::integer, .help = "of the random weights", .otherwise = "1"},
    {.name = "fused-key-values",
     .kind = Flag::Kind::toggle,
     .help = "latent attention as one matrix, as older files have it"},
};

struct Spread {
  double median, low, high;
};

Spread spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

struct Rates {
  std::vector<double> prefill, decode;  // tokens per second
};

Status measure(Env& env, Engine& engine, int64_t prompt, int64_t generate, int64_t repeats, Rates& out) {
  const Config& config = engine.model().config();
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < prompt + generate; ++i)
    tokens.push_back(static_cast<int32_t>((i * 7919 + 13) % config.vocab));
  for (int64_t r = -1; r < repeats; ++r) {  // the first run warms up
    LANDFALL_ASSIGN(const auto sequence, engine.open(config.kv_lora > 0 && prompt >= 128 ? prompt : 0));
    double start = env.seconds();
    for (int64_t at = 0; at < prompt; at += engine.options().batch) {
      const int64_t rows = std::min(engine.options().batch, prompt - at);
      const Engine::Work work{sequence, {tokens.data() + at, static_cast<size_t>(rows)}, at + rows == prompt ? 1 : 0};
      LANDFALL_TRY(engine.step({&work, 1}).status());
    }
    const double prefill = env.seconds() - start;
    start = env.seconds();
    for (int64_t i = prompt; i < prompt + generate; ++i) {
      const Engine::Work work{sequence, {tokens.data() + i, 1}, 1};
      LANDFALL_TRY(engine.step({&work, 1}).status());
    }
    const double decode = env.seconds() - start;
    engine.close(sequence);
    if (r < 0) continue;
    out.prefill.push_back(static_cast<double>(prompt) / prefill);
    out.decode.push_back(static_cast<double>(generate) / decode);
    if (stderr_is_terminal())
      std::fprintf(stderr, "\r\033[Krun %lld of %lld", static_cast<long long>(r + 1), static_cast<long long>(repeats));
  }
  if (stderr_is_terminal()) std::fprintf(stderr, "\r\033[K");
  return {};
}

// The most memory this process has held since the last reset, as the system counts it; 0 where it does not say.
int64_t peak_resident_bytes(Env& env) {
  auto text = env.read("/proc/self/status", 1 << 16);
  const size_t at = text.ok() ? text->find("VmHWM:") : std::string::npos;
  return at == std::string::npos ? 0 : std::strtoll(text->c_str() + at + 6, nullptr, 10) * 1024;
}

void reset_peak_resident_bytes(Env& env) {
  auto file = env.open_output("/proc/self/clear_refs", false);
  if (file.ok()) (void)(*file)->append("5").ok();  // where this is refused the probe's own memory counts too
}

Status write_random(CommandContext& context) {
  const Arguments& a = context.arguments;
  if (!a.has("random") || !a.has("write"))
    return Status(Code::invalid_argument, "--random SHAPE and --write FILE go together");
  RandomModel what;
  LANDFALL_ASSIGN(what.shape, find_model_shape(a.text("random")));
  const int64_t layers = a.integer("layers", what.shape.layers);
  if (layers < 1 || layers > what.shape.layers) {
    return Status(Code::invalid_argument, a.text("random") + " has " + std::to_string(what.shape.layers) +
                                              " layers; --layers takes 1 to that many");
  }
  what.shape = with_layers(what.shape, layers);
  what.type = a.text("type", "Q4_0");
  what.seed = static_cast<uint64_t>(a.integer("seed", 1));
  what.fused = a.has("fused-key-values");
  const std::string path = a.text("write");
  LANDFALL_ASSIGN(const EngineOptions options, engine_options(a));
  ThreadPool pool(options.threads > 0 ? options.threads : usable_cpus());
  LongWork work(context.env, "writing " + std::string(file_name(path)));
  LANDFALL_TRY(write_random_model(context.env, pool, what, path, [&](uint64_t done, uint64_t total) {
    work.watch.at(done, total);
    return !work.watch.stop();
  }));
  LANDFALL_ASSIGN(const uint64_t bytes, context.env.size(path));
  if (context.json) {
    Json out;
    out.set("file", path).set("bytes", static_cast<int64_t>(bytes)).set("shape", a.text("random"));
    out.set("type", what.type).set("layers", layers).set("seed", a.integer("seed", 1));
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    std::printf("%s: %s, %s, %lld layers\n", path.c_str(), human_bytes(bytes).c_str(), what.type.c_str(),
                static_cast<long long>(layers));
  }
  return {};
}

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  if (a.has("random") || a.has("write")) return write_random(context);
  LANDFALL_ASSIGN(EngineOptions options, engine_options(a));
  const int64_t prompt = a.integer("prompt", 512), generate = a.integer("generate", 64),
                repeats = a.integer("repeats", 5);
  if (prompt < 1 || prompt > (1 << 20) || generate < 1 || generate > (1 << 20) || repeats < 1 || repeats > 1000) {
    return Status(Code::invalid_argument, "--prompt and --generate take 1 to 1048576, --repeats 1 to 1000");
  }
  options.context = prompt + generate;
  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, a.text("MODEL")));
  auto loaded = [&] {
    Progress progress(context.env, "loading");
    return load(context.env, path, options, 1, [&](uint64_t done, uint64_t total) {
      progress.update(done, total);
      return true;
    });
  }();
  LANDFALL_TRY(loaded.status());
  LANDFALL_ASSIGN(const auto engine, Engine::create(loaded->model, loaded->options));

  int64_t peak_bytes = peak_resident_bytes(context.env);
  ThreadPool pool(loaded->options.threads);
  const KernelSet set = loaded->options.device.kernels;
  double bandwidth = measure_bandwidth(context.env, pool, PageSize::huge, 5),
         peak = measure_peak(context.env, pool, set, Activation::int8, 5);
  reset_peak_resident_bytes(context.env);
  Rates rates;
  LANDFALL_TRY(measure(context.env, *engine, prompt, generate, repeats, rates));
  peak_bytes = std::max(peak_bytes, peak_resident_bytes(context.env));
  bandwidth = std::max(bandwidth, measure_bandwidth(context.env, pool, PageSize::huge, 5));
  peak = std::max(peak, measure_peak(context.env, pool, set, Activation::int8, 5));

  const DType cache = loaded->options.cache_type;
  const Cost step = count_step(*loaded->model, 1, prompt + generate / 2, false, cache);
  const Cost whole = count_step(*loaded->model, prompt, 0, loaded->model->config().kv_lora > 0 && prompt >= 128, cache);
  const Spread prefill = spread(rates.prefill), decode = spread(rates.decode);
  const double share_of_bandwidth = (step.weight_bytes + step.cache_bytes) * decode.median / bandwidth;
  const double share_of_peak = whole.operations / static_cast<double>(prompt) * prefill.median / peak;
  if (context.json) {
    auto three = [](const Spread& s) { return Json(Json::Array{Json(s.low), Json(s.median), Json(s.high)}); };
    Json out;
    out.set("model", path).set("threads", loaded->options.threads).set("kernels", std::string(name(set)));
    out.set("prompt", prompt).set("generate", generate).set("repeats", repeats).set("load_seconds", loaded->seconds);
    out.set("prefill_tokens_per_second", prefill.median).set("prefill_spread", three(prefill));
    out.set("decode_tokens_per_second", decode.median).set("decode_spread", three(decode));
    out.set("peak_bytes", peak_bytes);
    out.set("bandwidth_bytes_per_second", bandwidth).set("peak_ops_per_second", peak);
    out.set("share_of_bandwidth", share_of_bandwidth).set("share_of_peak", share_of_peak);
    out.set("decode_step_bytes", step.weight_bytes + step.cache_bytes).set("prompt_operations", whole.operations);
    std::printf("%s\n", out.dump(2).c_str());
    return {};
  }
  std::printf("%s, kernels %s, %d threads; median of %lld (lowest to highest)\n", path.c_str(),
              std::string(name(set)).c_str(), loaded->options.threads, static_cast<long long>(repeats));
  std::printf("  load      %8.2f s\n", loaded->seconds);
  std::printf("  prefill   %8.1f tokens/s  (%.1f to %.1f)  prompt of %lld\n", prefill.median, prefill.low, prefill.high,
              static_cast<long long>(prompt));
  std::printf("  decode    %8.1f tokens/s  (%.1f to %.1f)  %lld generated\n", decode.median, decode.low, decode.high,
              static_cast<long long>(generate));
  std::printf("  memory    %8s at most\n", human_bytes(static_cast<uint64_t>(peak_bytes)).c_str());
  std::printf("  machine   %8s/s read bandwidth, %.0f GOP/s int8\n",
              human_bytes(static_cast<uint64_t>(bandwidth)).c_str(), peak / 1e9);
  std::printf("  share     %7.0f%% of bandwidth in decode, %.0f%% of peak in prefill\n", 100 * share_of_bandwidth,
              100 * share_of_peak);
  return {};
}

}  // namespace

extern const Command k_bench;
const Command k_bench = {.name = "bench",
                         .help = "measure load, prefill and decode beside the machine's limits",
                         .example = "landfall bench starter --repeats 3",
                         .flags = kFlags,
                         .has_json = true,
                         .run = run};

}  // namespace landfall
