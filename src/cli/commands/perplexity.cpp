// perplexity: how well a model predicts a text (lifecycle/evaluation/perplexity.h).
#include <cstdio>

#include "cli/model_loading.h"
#include "cli/terminal.h"
#include "lifecycle/evaluation/perplexity.h"
#include "lifecycle/store.h"
#include "runtime/load.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "MODEL", .help = "a name from 'landfall list', or a path", .required = true},
    {.name = "FILE", .help = "a text file in UTF-8", .required = true},
    {.name = "context", .kind = Flag::Kind::integer, .help = "tokens of one piece", .otherwise = "512"},
    {.name = "pieces", .kind = Flag::Kind::integer, .help = "stop after this many", .otherwise = "all"},
    {.name = "exact", .kind = Flag::Kind::toggle, .help = "keep activations and cache in 32-bit floats (slower)"},
    kThreadsFlag,
    kHugePagesFlag,
    kCacheTypeFlag,
};

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  LANDFALL_ASSIGN(EngineOptions options, engine_options(a));
  const int64_t piece = a.integer("context", 512);
  if (piece < 8 || piece > 65536)
    return Status(Code::invalid_argument, "--context is " + std::to_string(piece) + "; 8 to 65536 is possible");
  options.context = piece;
  options.batch = std::min<int64_t>(piece, 512);
  options.device.exact = a.has("exact");
  if (a.has("exact") && a.text("cache-type").empty()) options.cache_type = CacheType::f32;
  LANDFALL_ASSIGN(const std::string text, read_text(context.env, a.text("FILE")));
  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, a.text("MODEL")));
  auto loaded = [&] {
    Progress progress(context.env, "loading");
    return load(context.env, path, options, 1, [&](uint64_t done, uint64_t total) {
      progress.update(done, total);
      return true;
    });
  }();
  LANDFALL_TRY(loaded.status());
  LANDFALL_ASSIGN(const Tokenizer* tokenizer, loaded->text());
  LANDFALL_ASSIGN(const auto engine, Engine::create(loaded->model, loaded->options));
  const double start = context.env.seconds();
  PerplexityOptions how{.context = piece, .pieces = std::max<int64_t>(0, a.integer("pieces", 0))};
  how.progress = [&](const Perplexity& so_far, int64_t pieces) {
    if (!stderr_is_terminal()) return true;
    const double elapsed = context.env.seconds() - start;
    std::fprintf(
        stderr, "\r\033[Kpiece %lld of %lld  perplexity %.4f  %.0f tokens/s  %s left",
        static_cast<long long>(so_far.pieces), static_cast<long long>(pieces), so_far.value(),
        static_cast<double>(so_far.pieces * piece) / elapsed,
        human_seconds(elapsed / static_cast<double>(so_far.pieces) * static_cast<double>(pieces - so_far.pieces))
            .c_str());
    return true;
  };
  const auto result = perplexity(*engine, *tokenizer, text, how);
  if (stderr_is_terminal()) std::fprintf(stderr, "\r\033[K");
  LANDFALL_TRY(result.status());
  const double rate = static_cast<double>(result->pieces * piece) / (context.env.seconds() - start);
  if (context.json) {
    Json out;
    out.set("model", path)
        .set("file", a.text("FILE"))
        .set("perplexity", result->value())
        .set("standard_error", result->standard_error());
    out.set("tokens", result->scored)
        .set("context", piece)
        .set("pieces", result->pieces)
        .set("exact", a.has("exact"))
        .set("by_piece", Json::Array(result->by_piece.begin(), result->by_piece.end()))
        .set("tokens_per_second", rate);
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    std::printf("perplexity %.4f +/- %.4f over %lld tokens (context %lld, %lld pieces, %.0f tokens/s)\n",
                result->value(), result->standard_error(), static_cast<long long>(result->scored),
                static_cast<long long>(piece), static_cast<long long>(result->pieces), rate);
  }
  return {};
}

}  // namespace

extern const Command k_perplexity;
const Command k_perplexity = {.name = "perplexity",
                              .help = "how well a model predicts a text (lower is better)",
                              .example = "landfall perplexity starter README.md --context 256",
                              .flags = kFlags,
                              .has_json = true,
                              .run = run};

}  // namespace landfall
