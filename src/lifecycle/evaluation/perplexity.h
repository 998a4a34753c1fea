// How well a model predicts a text. The text is cut into pieces of `context` tokens, each begun with the
// beginning-of-text token if the model wants one; the second half of each piece is scored: exp(mean -log p). This is
// the usual way to compare quantizations, and the figure depends on the context.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "model/tokenizer/tokenizer.h"
#include "runtime/engine.h"

namespace landfall {

struct Perplexity {
  int64_t pieces = 0, scored = 0;  // pieces read, and tokens of them that were scored
  double mean = 0;                 // of -log p
  double deviation = 0;            // standard, of -log p
  std::vector<double> by_piece;    // means of -log p: two readings of one text are compared piece by piece
  double value() const;
  double standard_error() const;  // of value(), to first order
};

struct PerplexityOptions {
  int64_t context = 512;  // tokens of a piece; at most the engine's context
  int64_t pieces = 0;     // at most; 0: all
  // Called after each piece; false stops it (cancelled).
  std::function<bool(const Perplexity& so_far, int64_t pieces)> progress;
};

// A file's text; invalid_argument where it is not UTF-8.
Result<std::string> read_text(Env& env, const std::string& path);

// invalid_argument for a text of less than one piece.
Result<Perplexity> perplexity(Engine& engine, const Tokenizer& tokenizer, std::string_view text,
                              const PerplexityOptions& options);

}  // namespace landfall
