#include "runtime/drafting.h"

#include <algorithm>

#include "runtime/model_drafter.h"
#include "runtime/ngram_drafter.h"

namespace landfall {
namespace {

Status same_vocabulary(const Loaded& draft, const Loaded& target) {
  LANDFALL_ASSIGN(const Tokenizer* ours, draft.text());
  LANDFALL_ASSIGN(const Tokenizer* theirs, target.text());
  auto different = [&](const std::string& how) {
    return Status(Code::invalid_argument, draft.source.path + " cannot draft for " + target.source.path +
                                              ": their vocabularies differ, " + how +
                                              "; choose a smaller model of the same family, or 'ngram'");
  };
  const int32_t size = ours->vocab_size();
  if (size != theirs->vocab_size())
    return different(std::to_string(size) + " tokens and " + std::to_string(theirs->vocab_size()));
  for (int32_t id = 0; id < size; ++id) {
    if (ours->token_text(id) != theirs->token_text(id)) {
      return different("token " + std::to_string(id) + " is '" + ours->token_text(id) + "' and '" +
                       theirs->token_text(id) + "'");
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Drafting>> Drafting::load(Env& env, const std::string& draft, const Loaded& target,
                                                 const std::function<bool(uint64_t, uint64_t)>& progress) {
  std::unique_ptr<Drafting> out(new Drafting(env));
  if (draft == "ngram") return out;
  LANDFALL_ASSIGN(const ModelSource source, ModelSource::open(env, draft));
  LANDFALL_ASSIGN(const Model described, describe_model(source));
  EngineOptions options = target.options;
  options.context = std::min(options.context, described.config().context);
  LANDFALL_ASSIGN(const Loaded loaded, landfall::load(env, draft, options, 1, progress));
  LANDFALL_TRY(same_vocabulary(loaded, target));
  // The weights of both are in memory by now; caches and activations are not.
  MemoryEstimate rest = loaded.memory;
  rest.weights = 0;
  rest.cache += target.memory.cache;
  rest.activations += target.memory.activations;
  LANDFALL_TRY(check_memory(rest, static_cast<int64_t>(std::min<uint64_t>(env.available_memory(), INT64_MAX / 4)))
                   .within("with a draft model, beside the weights of both"));
  LANDFALL_ASSIGN(out->engine_, Engine::create(loaded.model, loaded.options));
  out->vocab_ = loaded.tokenizer->vocab_size();
  return out;
}

std::unique_ptr<Speculation> Drafting::begin(const SamplerSettings& settings, std::span<const int32_t> prompt) const {
  if (!engine_) return std::make_unique<Speculation>(env_, std::make_unique<NgramDrafter>(prompt));
  return std::make_unique<Speculation>(env_, std::make_unique<ModelDrafter>(*engine_, vocab_, settings, prompt));
}

}  // namespace landfall
