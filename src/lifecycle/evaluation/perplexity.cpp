#include "lifecycle/evaluation/perplexity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lifecycle/evaluation/log_probability.h"
#include "model/tokenizer/utf8.h"

namespace landfall {

double Perplexity::value() const { return std::exp(mean); }
double Perplexity::standard_error() const { return value() * deviation / std::sqrt(static_cast<double>(scored)); }

Result<std::string> read_text(Env& env, const std::string& path) {
  LANDFALL_ASSIGN(std::string text, env.read(path, size_t{256} << 20));
  if (const auto bad = find_invalid_utf8(text)) {
    return Status(Code::invalid_argument,
                  "'" + path + "' is not UTF-8 at byte " + std::to_string(*bad) + "; convert it first");
  }
  return text;
}

Result<Perplexity> perplexity(Engine& engine, const Tokenizer& tokenizer, std::string_view text,
                              const PerplexityOptions& options) {
  const int64_t piece = options.context, batch = engine.options().batch;
  const std::vector<int32_t> tokens = tokenizer.with_bos(tokenizer.encode(text));
  const auto count = static_cast<int64_t>(tokens.size());
  int64_t pieces = count / piece;
  if (pieces < 1) {
    return Status(Code::invalid_argument, "the text has " + std::to_string(count) + " tokens; at least one piece of " +
                                              std::to_string(piece) +
                                              " is needed: give a longer text or a smaller --context");
  }
  if (options.pieces > 0) pieces = std::min(pieces, options.pieces);
  double sum = 0, squares = 0;
  Perplexity out;
  for (int64_t p = 0; p < pieces; ++p) {
    const double before = sum;
    const int64_t scored = out.scored;
    std::vector<int32_t> ids(tokens.begin() + p * piece, tokens.begin() + (p + 1) * piece);
    if (tokenizer.add_bos() && tokenizer.bos() >= 0) ids[0] = tokenizer.bos();
    LANDFALL_ASSIGN(const auto sequence, engine.open(engine.model().config().kv_lora > 0 ? piece : 0));
    for (int64_t at = 0; at < piece; at += batch) {
      const int64_t rows = std::min(batch, piece - at);
      const int64_t first = std::max(at, piece / 2), last = std::min(at + rows, piece - 1);  // rows that are scored
      const auto wanted = static_cast<int32_t>(std::max<int64_t>(0, at + rows - first));
      const Engine::Work work{sequence, {ids.data() + at, static_cast<size_t>(rows)}, wanted};
      const auto logits = engine.step({&work, 1});
      if (!logits.ok()) {
        engine.close(sequence);
        return logits.status();
      }
      for (int64_t i = first; i < last; ++i) {
        const double nll = -log_probability(logits->row(i - first), ids[static_cast<size_t>(i + 1)]);
        sum += nll;
        squares += nll * nll;
        ++out.scored;
      }
    }
    engine.close(sequence);
    out.by_piece.push_back((sum - before) / static_cast<double>(out.scored - scored));
    out.pieces = p + 1;
    const auto n = static_cast<double>(out.scored);
    out.mean = sum / n;
    out.deviation = std::sqrt(std::max(0.0, squares / n - out.mean * out.mean));
    if (!std::isfinite(out.value())) {
      return Status(Code::internal,
                    "the model's output is not a number; the file may be damaged: try 'landfall verify'");
    }
    if (options.progress && !options.progress(out, pieces)) {
      return Status(Code::cancelled,
                    "stopped after " + std::to_string(out.pieces) + " of " + std::to_string(pieces) + " pieces");
    }
  }
  return out;
}

}  // namespace landfall
