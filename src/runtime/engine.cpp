#include "runtime/engine.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "tensor/access.h"

namespace landfall {
namespace {

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes < 10'000'000'000 ? "%.0f MB" : "%.1f GB",
                static_cast<double>(bytes) / (bytes < 10'000'000'000 ? 1e6 : 1e9));
  return text;
}

// Says what type the cache has; counting reads nothing else.
class CountedCache : public KvView {
 public:
  explicit CountedCache(CacheType type) : type_(type) {}
  CacheType type() const override { return type_; }
  std::span<std::byte* const> pages(int, int32_t) override { return {}; }

 private:
  CacheType type_;
};

// Activations that a step of `rows` rows at the end of the context needs at once: the state, the largest layer, the
// logits of one row, and the scratch that operators name. Other scratch of kernels (packed activations, sorted expert
// rows) is bounded by the outputs beside it.
int64_t activation_bytes(const Model& model, const EngineOptions& options) {
  const int64_t rows = options.batch;
  const int64_t past = std::max<int64_t>(0, (options.context > 0 ? options.context : model.config().context) - rows);
  const std::vector<int32_t> zeros(static_cast<size_t>(rows));
  const Run run{0, static_cast<int32_t>(rows), static_cast<int32_t>(past), 0, true};
  const std::vector<float> hidden(model.architecture().reads_hidden ? static_cast<size_t>(rows * model.config().width)
                                                                    : 0);
  const Batch batch{zeros, zeros, {&run, 1}, {zeros.data(), 1}, hidden};
  ThreadPool pool(1);
  Arena arena;
  CountedCache cache(options.cache_type);
  size_t largest = 0;
  CountReader outer;
  Ctx ctx = make_ctx(outer, options.device, pool, arena, batch, &cache);
  Tensor state = model.architecture().embed(ctx, model);
  for (int64_t layer = 0; layer < model.config().layers; ++layer) {
    CountReader reader;
    Ctx inner = make_ctx(reader, options.device, pool, arena, batch, &cache);
    state = model.architecture().layer(inner, model, layer, state);
    const auto scratch = static_cast<size_t>(reader.total().scratch_bytes);
    largest = std::max(largest, 2 * reader.activation_bytes() + scratch);
  }
  (void)model.architecture().head(ctx, model, model.architecture().norm(ctx, model, state));
  return static_cast<int64_t>(outer.activation_bytes() + largest + hidden.size() * sizeof(float));
}

}  // namespace

Cost count_step(const Model& model, int64_t rows, int64_t past, bool expanded, CacheType cache_type) {
  const std::vector<int32_t> zeros(static_cast<size_t>(rows));
  const Run run{0, static_cast<int32_t>(rows), static_cast<int32_t>(past), 0, expanded};
  const Batch batch{zeros, zeros, {&run, 1}, {zeros.data(), 1}};
  CountReader reader;
  ThreadPool pool(1);
  Arena arena;
  CountedCache cache(cache_type);
  Ctx ctx = make_ctx(reader, {}, pool, arena, batch, &cache);
  (void)forward(ctx, model);
  return reader.total();
}

std::string MemoryEstimate::text() const {
  return "weights " + megabytes(weights) + ", cache " + megabytes(cache) + " (" + std::to_string(cache_per_position) +
         " bytes a position), activations " + megabytes(activations) + ": " + megabytes(total()) + " in all";
}

MemoryEstimate estimate_memory(const Model& described, EngineOptions& options, int64_t available) {
  MemoryEstimate out;
  const Config& c = described.config();
  out.weights = described.memory_bytes();
  out.cache_per_position = KvCache::bytes_per_position(described.architecture().cache(c), options.cache_type);
  out.activations = activation_bytes(described, options);
  if (options.context <= 0) {
    // The model's own context, or as much of it as nine tenths of the rest of memory hold.
    const int64_t room = std::max<int64_t>(0, (available - out.weights - out.activations) / 10 * 9);
    const int64_t fits = room / std::max<int64_t>(1, out.cache_per_position) / kPagePositions * kPagePositions;
    options.context = std::clamp<int64_t>(fits, std::min<int64_t>(512, c.context), c.context);
  }
  if (options.cache_positions <= 0) options.cache_positions = options.context;
  out.cache = (options.cache_positions + kPagePositions - 1) / kPagePositions * kPagePositions * out.cache_per_position;
  return out;
}

Status check_memory(const MemoryEstimate& estimate, int64_t available) {
  if (estimate.total() <= available) return {};
  return Status(Code::resource_exhausted, "the model needs " + estimate.text() + ", but " + megabytes(available) +
                                              " of memory are available; close other programs, choose a smaller "
                                              "quantization or give --context a smaller number");
}

Engine::Engine(std::shared_ptr<const Model> model, EngineOptions options)
    : model_(std::move(model)),
      options_(options),
      pool_(options.threads),
      cache_(model_->architecture().cache(model_->config()), options.cache_type, options.cache_positions) {}

Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(std::shared_ptr<const Model> model, EngineOptions options) {
  if (options.threads <= 0) options.threads = this_machine().default_threads();
  if (options.batch < 1 || options.batch > 65536) {
    return Status(Code::invalid_argument,
                  "a batch of " + std::to_string(options.batch) + " rows; 1 to 65536 are possible");
  }
  if (options.context > model->config().context) {
    return Status(Code::invalid_argument, "a context of " + std::to_string(options.context) +
                                              " positions; the model was made for " +
                                              std::to_string(model->config().context));
  }
  const MemoryEstimate estimate = estimate_memory(*model, options, INT64_MAX / 4);
  std::unique_ptr<Engine> engine(new Engine(std::move(model), options));
  engine->arena_.reserve(static_cast<size_t>(estimate.activations));
  return engine;
}

Result<Engine::SequenceId> Engine::open(int64_t expanded_until) { return cache_.open(expanded_until); }
Result<Engine::SequenceId> Engine::fork(SequenceId from) { return cache_.fork(from); }
Status Engine::truncate(SequenceId sequence, int64_t length) { return cache_.truncate(sequence, length); }
void Engine::close(SequenceId sequence) { cache_.close(sequence); }
int64_t Engine::length(SequenceId sequence) const { return cache_.length(sequence); }
void Engine::set_expanded_until(SequenceId sequence, int64_t position) {
  cache_.set_expanded_until(sequence, position);
}

int64_t Engine::used_bytes() const {
  return model_->memory_bytes() + cache_.used_bytes() + static_cast<int64_t>(arena_.peak());
}

Status Engine::check(std::span<const Work> work) const {
  int64_t rows = 0, pages = 0;
  const int64_t vocab = model_->config().vocab;
  for (size_t i = 0; i < work.size(); ++i) {
    const Work& w = work[i];
    if (!cache_.is_open(w.sequence))
      return Status(Code::not_found, "there is no sequence " + std::to_string(w.sequence));
    for (size_t j = 0; j < i; ++j) {
      if (work[j].sequence == w.sequence)
        return Status(Code::invalid_argument, "sequence " + std::to_string(w.sequence) + " stands twice in one step");
    }
    const auto count = static_cast<int64_t>(w.tokens.size());
    if (count == 0 || w.logits_last < 0 || w.logits_last > count)
      return Status(Code::invalid_argument, "a step without tokens");
    LANDFALL_CHECK(static_cast<int64_t>(w.hidden.size()) ==
                   (model_->architecture().reads_hidden ? count * model_->config().width : 0));
    for (int32_t token : w.tokens) {
      if (token < 0 || token >= vocab) {
        return Status(Code::invalid_argument,
                      "token " + std::to_string(token) + " is not in the vocabulary of " + std::to_string(vocab));
      }
    }
    if (cache_.length(w.sequence) + count > options_.context) {
      return Status(Code::resource_exhausted,
                    "the context of " + std::to_string(options_.context) + " positions is full");
    }
    rows += count;
    pages += cache_.pages_needed(w.sequence, count);
  }
  if (rows > options_.batch) {
    return Status(Code::invalid_argument,
                  "a step of " + std::to_string(rows) + " rows is over the batch of " + std::to_string(options_.batch));
  }
  if (pages > cache_.free_pages()) {
    return Status(Code::resource_exhausted, "the cache is full: " + std::to_string(pages) + " pages are needed, " +
                                                std::to_string(cache_.free_pages()) + " are free");
  }
  return {};
}

Result<Engine::Logits> Engine::step(std::span<const Work> work) {
  LANDFALL_TRY(check(work));
  overlays_.clear();
  for (const Work& w : work) {
    if (std::find(overlays_.begin(), overlays_.end(), w.overlay) == overlays_.end()) overlays_.push_back(w.overlay);
  }
  if (overlays_.size() == 1) return pass(work, overlays_[0]);
  const auto vocab = static_cast<size_t>(model_->config().vocab), width = static_cast<size_t>(model_->config().width);
  size_t rows = 0, wanted = 0;
  for (const Work& w : work) {
    rows += w.tokens.size();
    wanted += static_cast<size_t>(w.logits_last);
  }
  all_logits_.resize(wanted * vocab);
  all_hidden_.resize(rows * width);
  for (const Overlay* overlay : overlays_) {
    const Logits part = pass(work, overlay);
    const float *logits = part.data, *hidden = part.hidden.data();
    float *to_logits = all_logits_.data(), *to_hidden = all_hidden_.data();
    for (const Work& w : work) {
      const size_t n_logits = static_cast<size_t>(w.logits_last) * vocab, n_hidden = w.tokens.size() * width;
      if (w.overlay == overlay) {
        std::copy_n(std::exchange(logits, logits + n_logits), n_logits, to_logits);
        std::copy_n(std::exchange(hidden, hidden + n_hidden), n_hidden, to_hidden);
      }
      to_logits += n_logits;
      to_hidden += n_hidden;
    }
  }
  return Logits{all_logits_.data(), static_cast<int64_t>(wanted), model_->config().vocab, all_hidden_};
}

// The work that sees this overlay, of a step that is checked.
Engine::Logits Engine::pass(std::span<const Work> work, const Overlay* overlay) {
  tokens_.clear();
  positions_.clear();
  logits_rows_.clear();
  runs_.clear();
  hidden_.clear();
  for (const Work& w : work) {
    if (w.overlay != overlay) continue;
    const auto past = static_cast<int32_t>(cache_.length(w.sequence)), count = static_cast<int32_t>(w.tokens.size());
    const auto first = static_cast<int32_t>(tokens_.size());
    // A step that crosses the end of the expanded part is two runs.
    const auto expanded = static_cast<int32_t>(std::clamp<int64_t>(cache_.expanded_until(w.sequence) - past, 0, count));
    if (expanded > 0) runs_.push_back({first, expanded, past, w.sequence, true});
    if (expanded < count) runs_.push_back({first + expanded, count - expanded, past + expanded, w.sequence, false});
    for (int32_t i = 0; i < count; ++i) {
      tokens_.push_back(w.tokens[static_cast<size_t>(i)]);
      positions_.push_back(past + i);
      if (i >= count - w.logits_last) logits_rows_.push_back(first + i);
    }
    hidden_.insert(hidden_.end(), w.hidden.begin(), w.hidden.end());
    cache_.extend(w.sequence, count);
  }
  arena_.reset();
  const Batch batch{tokens_, positions_, runs_, logits_rows_, hidden_};  // the Ctx refers to it
  Ctx ctx = make_ctx(reader_, options_.device, pool_, arena_, batch, &cache_);
  ctx.overlay = overlay;
  Tensor hidden;
  const Tensor out = forward(ctx, *model_, &hidden);
  return {data<float>(out),
          out.rows(),
          model_->config().vocab,
          {data<float>(hidden), static_cast<size_t>(hidden.elements())}};
}

}  // namespace landfall
