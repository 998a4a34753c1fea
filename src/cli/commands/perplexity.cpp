// perplexity: how well a model predicts a text. The text is cut into pieces of `context` tokens, each begun with the
// beginning-of-text token if the model wants one; the second half of each piece is scored: exp(mean -log p). This is
// the usual way to compare quantizations, and the figure depends on the context, which is therefore printed with it.
#include <cmath>
#include <cstdio>

#include "cli/model_loading.h"
#include "cli/terminal.h"
#include "lifecycle/store.h"
#include "model/tokenizer/utf8.h"
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

double log_probability(std::span<const float> logits, int32_t token) {
  double most = logits[0], total = 0;
  for (float v : logits) most = std::max(most, static_cast<double>(v));
  for (float v : logits) total += std::exp(v - most);
  return logits[static_cast<size_t>(token)] - most - std::log(total);
}

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
  LANDFALL_ASSIGN(const std::string text, context.env.read(a.text("FILE"), size_t{256} << 20));
  if (const auto bad = find_invalid_utf8(text)) {
    return Status(Code::invalid_argument,
                  "'" + a.text("FILE") + "' is not UTF-8 at byte " + std::to_string(*bad) + "; convert it first");
  }
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
  const std::vector<int32_t> tokens = tokenizer->with_bos(tokenizer->encode(text));
  const auto count = static_cast<int64_t>(tokens.size());
  int64_t pieces = count / piece;
  if (pieces < 1) {
    return Status(Code::invalid_argument, "the text has " + std::to_string(count) + " tokens; at least one piece of " +
                                              std::to_string(piece) +
                                              " is needed: give a longer text or a smaller --context");
  }
  pieces = std::min(pieces, std::max<int64_t>(1, a.integer("pieces", pieces)));
  double sum = 0, squares = 0;
  int64_t scored = 0;
  const double start = context.env.seconds();
  for (int64_t p = 0; p < pieces; ++p) {
    std::vector<int32_t> ids(tokens.begin() + p * piece, tokens.begin() + (p + 1) * piece);
    if (tokenizer->add_bos() && tokenizer->bos() >= 0) ids[0] = tokenizer->bos();
    LANDFALL_ASSIGN(const auto sequence, engine->open(loaded->model->config().kv_lora > 0 ? piece : 0));
    for (int64_t at = 0; at < piece; at += options.batch) {
      const int64_t rows = std::min(options.batch, piece - at);
      const int64_t first = std::max(at, piece / 2), last = std::min(at + rows, piece - 1);  // rows that are scored
      const auto wanted = static_cast<int32_t>(std::max<int64_t>(0, at + rows - first));
      const Engine::Work work{sequence, {ids.data() + at, static_cast<size_t>(rows)}, wanted};
      LANDFALL_ASSIGN(const auto logits, engine->step({&work, 1}));
      for (int64_t i = first; i < last; ++i) {
        const double nll = -log_probability(logits.row(i - first), ids[static_cast<size_t>(i + 1)]);
        sum += nll;
        squares += nll * nll;
        ++scored;
      }
    }
    engine->close(sequence);
    if (stderr_is_terminal()) {
      const double elapsed = context.env.seconds() - start;
      std::fprintf(stderr, "\r\033[Kpiece %lld of %lld  perplexity %.4f  %.0f tokens/s  %s left",
                   static_cast<long long>(p + 1), static_cast<long long>(pieces),
                   std::exp(sum / static_cast<double>(scored)), static_cast<double>((p + 1) * piece) / elapsed,
                   human_seconds(elapsed / static_cast<double>(p + 1) * static_cast<double>(pieces - p - 1)).c_str());
    }
  }
  if (stderr_is_terminal()) std::fprintf(stderr, "\r\033[K");
  const auto n = static_cast<double>(scored);
  const double mean = sum / n, perplexity = std::exp(mean);
  const double error =
      perplexity * std::sqrt(std::max(0.0, squares / n - mean * mean) / n);  // of the mean, to first order
  const double rate = static_cast<double>(pieces * piece) / (context.env.seconds() - start);
  if (!std::isfinite(perplexity))
    return Status(Code::internal, "the model's output is not a number; the file may be damaged: try 'landfall verify'");
  if (context.json) {
    Json out;
    out.set("model", path).set("file", a.text("FILE")).set("perplexity", perplexity).set("standard_error", error);
    out.set("tokens", scored)
        .set("context", piece)
        .set("pieces", pieces)
        .set("exact", a.has("exact"))
        .set("tokens_per_second", rate);
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    std::printf("perplexity %.4f +/- %.4f over %lld tokens (context %lld, %lld pieces, %.0f tokens/s)\n", perplexity,
                error, static_cast<long long>(scored), static_cast<long long>(piece), static_cast<long long>(pieces),
                rate);
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
