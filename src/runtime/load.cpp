#include "runtime/load.h"

#include <algorithm>

namespace landfall {
namespace {

Result<Tokenizer> make_tokenizer(ModelSource& source, int64_t vocab) {
  if (!source.tokenizer) return Status(Code::unsupported, source.tokenizer_problem);
  TokenizerSpec spec = std::move(*source.tokenizer);
  source.tokenizer.reset();
  LANDFALL_ASSIGN(Tokenizer tokenizer, Tokenizer::create(std::move(spec)));
  LANDFALL_TRY(check_vocabulary(tokenizer, vocab));
  return tokenizer;
}

}  // namespace

Result<const Tokenizer*> Loaded::text() const {
  if (!tokenizer) return no_tokenizer.within("the model cannot be used for text");
  return &*tokenizer;
}

Result<Loaded> load(Env& env, const std::string& path, EngineOptions options, int cache_contexts,
                    const std::function<bool(uint64_t, uint64_t)>& progress) {
  const double start = env.seconds();
  Loaded out;
  LANDFALL_ASSIGN(out.source, ModelSource::open(env, path));
  LANDFALL_ASSIGN(Model model, describe_model(out.source));
  auto tokenizer = make_tokenizer(out.source, model.config().vocab);
  if (tokenizer.ok()) {
    out.tokenizer = std::move(*tokenizer);
  } else {
    out.no_tokenizer = tokenizer.status();
  }
  if (options.threads <= 0) options.threads = this_machine().default_threads();
  const auto available = static_cast<int64_t>(std::min<uint64_t>(env.available_memory(), INT64_MAX / 4));
  out.memory = estimate_memory(model, options, available);
  LANDFALL_TRY(check_memory(out.memory, available));
  if (options.cache_positions == options.context && cache_contexts > 1) {
    const int64_t spare = (available - out.memory.total()) / 2 / std::max<int64_t>(1, out.memory.cache_per_position);
    options.cache_positions += std::clamp<int64_t>(spare, 0, (cache_contexts - 1) * options.context);
    out.memory = estimate_memory(model, options, available);
  }
  ThreadPool pool(options.threads);
  LANDFALL_TRY(load_weights(out.source, pool, progress, model, options.copy_weights));
  out.model = std::make_shared<const Model>(std::move(model));
  out.options = options;
  out.seconds = env.seconds() - start;
  return out;
}

}  // namespace landfall
