#include "runtime/drafting.h"

#include <algorithm>

#include "runtime/model_drafter.h"
#include "runtime/mtp_drafter.h"
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

// Whether `more` fits beside the caches and activations of the target, whose weights are in memory by now.
Status fits_beside(Env& env, const Loaded& target, MemoryEstimate more) {
  more.cache += target.memory.cache;
  more.activations += target.memory.activations;
  return check_memory(more, static_cast<int64_t>(std::min<uint64_t>(env.available_memory(), INT64_MAX / 4)));
}

Result<std::unique_ptr<Engine>> multi_token_engine(Env& env, const Loaded& target,
                                                   const std::function<bool(uint64_t, uint64_t)>& progress) {
  LANDFALL_ASSIGN(Model layer, describe_multi_token(target.source, *target.model));
  EngineOptions options = target.options;
  LANDFALL_TRY(fits_beside(env, target, estimate_memory(layer, options, 0))
                   .within("with the multi-token layer, beside the weights of the model"));
  ThreadPool pool(options.threads);
  LANDFALL_TRY(load_weights(target.source, pool, progress, layer));
  return Engine::create(std::make_shared<const Model>(std::move(layer)), options);
}

}  // namespace

Result<std::unique_ptr<Drafting>> Drafting::load(Env& env, const std::string& draft, const Loaded& target,
                                                 const std::function<bool(uint64_t, uint64_t)>& progress) {
  std::unique_ptr<Drafting> out(new Drafting(env));
  if (draft == "ngram") return out;
  if (draft == "mtp") {
    LANDFALL_ASSIGN(out->engine_, multi_token_engine(env, target, progress));
    return out;
  }
  LANDFALL_ASSIGN(const ModelSource source, ModelSource::open(env, draft));
  LANDFALL_ASSIGN(const Model described, describe_model(source));
  EngineOptions options = target.options;
  options.context = std::min(options.context, described.config().context);
  LANDFALL_ASSIGN(const Loaded loaded, landfall::load(env, draft, options, 1, progress));
  LANDFALL_TRY(same_vocabulary(loaded, target));
  MemoryEstimate rest = loaded.memory;
  rest.weights = 0;  // in memory by now
  LANDFALL_TRY(fits_beside(env, target, rest).within("with a draft model, beside the weights of both"));
  LANDFALL_ASSIGN(out->engine_, Engine::create(loaded.model, loaded.options));
  out->vocab_ = loaded.tokenizer->vocab_size();
  return out;
}

std::unique_ptr<Speculation> Drafting::begin(const SamplerSettings& settings, std::span<const int32_t> prompt) const {
  if (!engine_) return std::make_unique<Speculation>(env_, std::make_unique<NgramDrafter>(prompt));
  if (engine_->model().architecture().reads_hidden)
    return std::make_unique<Speculation>(env_, std::make_unique<MtpDrafter>(*engine_, settings, prompt));
  return std::make_unique<Speculation>(env_, std::make_unique<ModelDrafter>(*engine_, vocab_, settings, prompt));
}

}  // namespace landfall
