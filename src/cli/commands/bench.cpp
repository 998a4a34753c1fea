// bench: how fast a model loads, reads prompts, generates and trains here, beside what this machine can do at most.
// Without a model, the machine alone; with --random, a file of random weights to measure with.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/huge_pages.h"
#include "cli/bench_machine.h"
#include "cli/bench_model.h"
#include "cli/bench_operators.h"
#include "cli/bench_random.h"
#include "cli/bench_training.h"
#include "cli/checked_flags.h"
#include "cli/model_loading.h"
#include "cli/peak_memory.h"
#include "cli/terminal.h"
#include "lifecycle/store.h"
#include "runtime/load.h"
#include "runtime/step_profile.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "MODEL", .help = "a name from 'landfall list', or a path; without one the machine alone is measured"},
    {.name = "prompt", .kind = Flag::Kind::integer, .help = "tokens of the prompt, 0: none", .otherwise = "512"},
    {.name = "generate", .kind = Flag::Kind::integer, .help = "tokens generated, 0: none", .otherwise = "64"},
    {.name = "past", .kind = Flag::Kind::integer, .help = "tokens in the cache before that", .otherwise = "0"},
    {.name = "sequences", .kind = Flag::Kind::integer, .help = "sequences that generate together", .otherwise = "1"},
    {.name = "repeats", .kind = Flag::Kind::integer, .help = "runs; medians are printed", .otherwise = "5"},
    {.name = "training",
     .kind = Flag::Kind::toggle,
     .help = "training steps of every weight on --sequences of --prompt tokens, instead of answering"},
    {.name = "precision",
     .help = "of products while training: f32 or bf16, as for 'landfall train'",
     .otherwise = "f32"},
    {.name = "recompute",
     .help = "of activations while training: none, layer, a number or two-level, as for 'landfall train'",
     .otherwise = "none"},
    {.name = "operators", .kind = Flag::Kind::toggle, .help = "where the time goes, against the machine's limits"},
    {.name = "timeline", .help = "write a time line of the steps to this file, for chrome://tracing or Perfetto"},
    kDraftFlag,
    kThreadsFlag,
    kHugePagesFlag,
    kCacheTypeFlag,
    {.name = "random", .help = "write a file of random weights of this model's true shape, instead of measuring"},
    {.name = "write", .help = "the file to write"},
    {.name = "type", .help = "its number format, for example Q4_0, Q4_K_M or BF16", .otherwise = "Q4_0"},
    {.name = "layers", .kind = Flag::Kind::integer, .help = "fewer layers than the model has", .otherwise = "all"},
    {.name = "seed", .kind = Flag::Kind::integer, .help = "of the random weights", .otherwise = "1"},
    {.name = "zipf",
     .kind = Flag::Kind::toggle,
     .help = "of its experts a few are chosen often, by Zipf's law, instead of all alike"},
    {.name = "fused-key-values",
     .kind = Flag::Kind::toggle,
     .help = "latent attention as one matrix, as older files have it"},
};

Result<BenchWork> work_of(const Arguments& a) {
  BenchWork out{a.integer("prompt", 512), a.integer("generate", 64), a.integer("past", 0), a.integer("sequences", 1),
                a.integer("repeats", 5)};
  constexpr int64_t kMost = 1 << 20;
  if (std::min({out.prompt, out.generate, out.past}) < 0 || std::max({out.prompt, out.generate, out.past}) > kMost ||
      out.prompt + out.generate == 0 || out.repeats < 1 || out.repeats > 1000 || out.sequences < 1 ||
      out.sequences > 512) {
    return Status(Code::invalid_argument,
                  "--prompt, --generate and --past take 0 to 1048576, the first two not both 0; --repeats takes 1 to "
                  "1000 and --sequences 1 to 512");
  }
  return out;
}

struct Report {
  std::string path;
  double load_seconds = 0;
  int64_t peak_bytes = 0;
  PageUse pages;        // of the weights
  bool mapped = false;  // they are used as they lie in the file
  Machine machine;
  BenchSamples samples;
  Cost prompt, step;  // one decode step of all sequences
  std::vector<ProfileReader::Event> prompt_events, step_events;

  double share_of_peak(const BenchWork& work) const {
    return work.prompt == 0
               ? 0
               : prompt.operations / static_cast<double>(work.prompt) * spread(samples.prefill).median / machine.int8;
  }
  // Each run against the bandwidth of its own moment.
  Spread share_of_bandwidth(const BenchWork& work) const {
    std::vector<double> out;
    for (size_t i = 0; i < samples.decode.size(); ++i) {
      out.push_back((step.weight_bytes + step.cache_bytes) * samples.decode[i] / static_cast<double>(work.sequences) /
                    samples.bandwidth[i]);
    }
    return spread(out);
  }
};

Json report_json(const Report& r, const BenchWork& work) {
  auto three = [](const Spread& s) { return Json(Json::Array{Json(s.low), Json(s.median), Json(s.high)}); };
  const Spread prefill = spread(r.samples.prefill), decode = spread(r.samples.decode);
  Json out, pages;
  out.set("model", r.path).set("threads", r.machine.threads).set("kernels", std::string(name(r.machine.kernels)));
  out.set("prompt", work.prompt).set("generate", work.generate).set("past", work.past);
  out.set("sequences", work.sequences).set("repeats", work.repeats).set("load_seconds", r.load_seconds);
  if (work.prompt > 0) {
    out.set("prefill_tokens_per_second", prefill.median).set("prefill_spread", three(prefill));
    out.set("prompt_operations", r.prompt.operations).set("share_of_peak", r.share_of_peak(work));
  }
  if (work.generate > 0) {
    out.set("decode_tokens_per_second", decode.median).set("decode_spread", three(decode));
    out.set("decode_step_bytes", r.step.weight_bytes + r.step.cache_bytes);
    out.set("share_of_bandwidth", r.share_of_bandwidth(work).median);
    out.set("share_of_bandwidth_spread", three(r.share_of_bandwidth(work)));
    out.set("bandwidth_beside_decode", three(spread(r.samples.bandwidth)));
  }
  if (!r.samples.drafting.empty()) {
    const Spread drafting = spread(r.samples.drafting);
    out.set("drafting_tokens_per_second", drafting.median).set("drafting_spread", three(drafting));
    out.set("drafted", r.samples.drafted).set("accepted", r.samples.accepted);
  }
  // What the shares are shares of.
  out.set("bandwidth_bytes_per_second",
          work.generate > 0 ? spread(r.samples.bandwidth).median : r.machine.bandwidth_huge);
  out.set("peak_ops_per_second", r.machine.int8);
  out.set("peak_bytes", r.peak_bytes).set("machine", r.machine.json());
  out.set("memory_in_2mib_pages", r.pages.share());
  if (!r.prompt_events.empty() || !r.step_events.empty()) {
    Json operators;
    operators.set("prefill", operators_json(r.prompt_events, r.machine.limits()));
    operators.set("decode", operators_json(r.step_events, r.machine.limits()));
    out.set("operators", std::move(operators));
  }
  return out;
}

void print(const Report& r, const BenchWork& work) {
  auto count = [](int64_t n) { return static_cast<long long>(n); };
  std::printf("%s, kernels %s, %d threads; median of %lld (lowest to highest)\n", r.path.c_str(),
              std::string(name(r.machine.kernels)).c_str(), r.machine.threads, count(work.repeats));
  std::printf("  load      %8.2f s\n", r.load_seconds);
  if (work.prompt > 0) {
    const Spread s = spread(r.samples.prefill);
    std::printf("  prefill   %8.1f tokens/s  (%.1f to %.1f)  prompt of %lld; %.0f%% of the int8 peak\n", s.median,
                s.low, s.high, count(work.prompt), 100 * r.share_of_peak(work));
  }
  if (work.generate > 0) {
    const Spread s = spread(r.samples.decode);
    std::printf("  decode    %8.1f tokens/s  (%.1f to %.1f)  %lld generated behind %lld", s.median, s.low, s.high,
                count(work.generate), count(work.past));
    if (work.sequences > 1) std::printf(" by each of %lld sequences", count(work.sequences));
    std::printf("; %.0f%% of the bandwidth beside it\n", 100 * r.share_of_bandwidth(work).median);
  }
  if (!r.samples.drafting.empty()) {
    const Spread s = spread(r.samples.drafting);
    std::printf("  drafting  %8.1f tokens/s  (%.1f to %.1f)  of greedy answers; %lld tokens drafted, %lld accepted\n",
                s.median, s.low, s.high, count(r.samples.drafted), count(r.samples.accepted));
  }
  std::printf("  memory    %8s at most, %.0f%% of the weights in 2 MiB pages%s\n",
              human_bytes(static_cast<uint64_t>(r.peak_bytes)).c_str(), 100 * r.pages.share(),
              r.pages.share() >= 0.9 ? ""
              : r.mapped             ? "; --huge-pages copies the weights into such pages"
                                     : "; 'landfall doctor' says how to get more");
  std::printf("\n%s", r.machine.text().c_str());
  if (!r.prompt_events.empty())
    std::printf("\nprefill\n%s", operators_text(r.prompt_events, r.machine.limits()).c_str());
  if (!r.step_events.empty())
    std::printf("\ndecode step\n%s", operators_text(r.step_events, r.machine.limits()).c_str());
}

Status profile(CommandContext& context, const Loaded& loaded, const BenchWork& work, Report& out) {
  const bool wanted = context.arguments.has("operators") || context.arguments.has("timeline");
  if (!wanted) return {};
  const StepShape prompt{work.prompt, 0, 1, work.expanded(*loaded.model)}, step{1, work.past, work.sequences, false};
  if (work.prompt > 0) out.prompt_events = profile_step(context.env, *loaded.model, loaded.options, prompt, 3);
  if (work.generate > 0) out.step_events = profile_step(context.env, *loaded.model, loaded.options, step, 9);
  if (!context.arguments.has("timeline")) return {};
  return write_file(context.env, context.arguments.text("timeline"),
                    timeline({{"prefill", out.prompt_events}, {"decode step", out.step_events}}));
}

Status bench_machine_alone(CommandContext& context, const EngineOptions& options) {
  ThreadPool pool(options.threads);
  const Machine machine = measure_machine(context.env, pool, options.device.kernels);
  std::printf("%s", context.json ? (machine.json().dump(2) + "\n").c_str() : machine.text().c_str());
  return {};
}

// Of the mapped file where its weights are used as they lie, else of our own memory.
void find_pages(Env& env, const Loaded& loaded, Report& out) {
  out.mapped = !loaded.source.packed.empty() && !loaded.options.copy_weights;
  std::error_code failure;
  out.pages = out.mapped
                  ? pages_in_use(env, std::filesystem::canonical(loaded.source.files.front(), failure).string()).file
                  : pages_in_use(env).anonymous;
}

// Flags of one kind of work, which no other has a use for.
constexpr std::pair<std::string_view, std::string_view> kBeside[] = {
    {"layers", "random"},           {"type", "random"},        {"seed", "random"},        {"zipf", "random"},
    {"fused-key-values", "random"}, {"precision", "training"}, {"recompute", "training"},
};
constexpr std::string_view kMeasuring[] = {"MODEL",    "prompt",    "generate", "past",  "sequences",  "repeats",
                                           "training", "operators", "timeline", "draft", "huge-pages", "cache-type"};

Status check_flags(const Arguments& a) {
  for (const auto& [flag, other] : kBeside) LANDFALL_TRY(only_beside(a, flag, other));
  for (const std::string_view flag : kMeasuring) {
    if (a.has("random") && a.has(flag)) {
      return Status(Code::invalid_argument, "--random writes a file and measures nothing; " +
                                                std::string(flag == "MODEL" ? "" : "--") + std::string(flag) +
                                                " is for measuring it afterwards");
    }
  }
  for (const char* flag : {"training", "operators", "timeline", "draft"}) {
    if (!a.has(flag)) continue;
    if (!a.has("MODEL")) return Status(Code::invalid_argument, "--" + std::string(flag) + " needs a MODEL to measure");
    if (a.has("training") && std::string_view(flag) != "training")
      return Status(Code::invalid_argument,
                    "--training measures whole steps; it does not go with --" + std::string(flag));
  }
  return {};
}

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  LANDFALL_TRY(check_flags(a));
  if (a.has("random") || a.has("write")) return write_random(context);
  LANDFALL_ASSIGN(EngineOptions options, engine_options(a));
  if (a.has("training")) return bench_training(context, options);
  LANDFALL_ASSIGN(const BenchWork work, work_of(a));
  if (!a.has("MODEL")) return bench_machine_alone(context, options);
  LANDFALL_ASSIGN(const std::string draft, chosen_draft(context));
  if (!draft.empty() && (work.past < 1 || work.generate < 2))
    return Status(Code::invalid_argument, "--draft needs tokens to go on from: --past 1 or more, --generate 2 or more");
  work.size(options);
  Report report;
  LANDFALL_ASSIGN(report.path, resolve_model(context.env, a.text("MODEL")));
  auto loaded = [&] {
    Progress progress(context.env, "loading");
    return load(context.env, report.path, options, 1, [&](uint64_t done, uint64_t total) {
      progress.update(done, total);
      return true;
    });
  }();
  LANDFALL_TRY(loaded.status());
  report.load_seconds = loaded->seconds;
  LANDFALL_ASSIGN(const auto engine, Engine::create(loaded->model, loaded->options));
  report.peak_bytes = peak_resident_bytes(context.env);
  find_pages(context.env, *loaded, report);
  reset_peak_resident_bytes(context.env);
  {
    ThreadPool pool(loaded->options.threads);
    report.machine = measure_machine(context.env, pool, loaded->options.device.kernels);
    BandwidthProbe probe(pool, PageSize::huge);
    LANDFALL_ASSIGN(report.samples, bench_model(context.env, *engine, probe, work));
    if (!draft.empty()) {
      LANDFALL_ASSIGN(const auto drafting, Drafting::load(context.env, draft, *loaded, nullptr));
      LANDFALL_TRY(bench_drafting(context.env, *engine, *drafting, work, report.samples));
    }
    report.peak_bytes = std::max(report.peak_bytes, peak_resident_bytes(context.env) - probe.bytes());
  }
  const StepShape prompt{work.prompt, 0, 1, work.expanded(*loaded->model)};
  const StepShape step{1, work.past + work.generate / 2, work.sequences, false};
  if (work.prompt > 0) report.prompt = count_step(*loaded->model, loaded->options, prompt);
  if (work.generate > 0) report.step = count_step(*loaded->model, loaded->options, step);
  LANDFALL_TRY(profile(context, *loaded, work, report));
  if (context.json)
    std::printf("%s\n", report_json(report, work).dump(2).c_str());
  else
    print(report, work);
  return {};
}

}  // namespace

extern const Command k_bench;
const Command k_bench = {.name = "bench",
                         .help = "measure load, prefill and decode beside the machine's limits",
                         .example =
                             "landfall bench starter --repeats 3\n"
                             "landfall bench --random deepseek-v2-lite --type Q4_0 --write v2-lite.gguf\n"
                             "landfall bench v2-lite.gguf --past 1024 --sequences 4 --operators\n"
                             "landfall bench small.gguf --training --prompt 256 --sequences 8",
                         .flags = kFlags,
                         .has_json = true,
                         .run = run};

}  // namespace landfall
