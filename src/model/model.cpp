#include "model/model.h"

#include <sys/mman.h>

#include <algorithm>

#include <atomic>
#include <cstring>
#include <mutex>

#include "model/placement.h"
#include "tensor/access.h"

namespace landfall {

Result<const Architecture*> find_architecture(std::string_view name) {
  std::string known;
  for (const Architecture* a : arch_table()) {
    for (std::string_view accepted : a->accepts) {
      if (accepted == name) return a;
      known += (known.empty() ? "" : ", ") + std::string(accepted);
    }
  }
  return Status(Code::unsupported,
                (name.empty() ? std::string("the model does not name its architecture")
                              : "architecture '" + std::string(name.substr(0, 80)) + "' is not known") +
                    "; known are: " + known);
}

const Weight* Model::find(int64_t layer, std::string_view name) const {
  const auto at = static_cast<size_t>(layer + 1);
  for (int64_t i = layer_begin_[at]; i < layer_begin_[at + 1]; ++i) {
    if (specs_[static_cast<size_t>(i)].name == name) return &weights_[static_cast<size_t>(i)];
  }
  return nullptr;
}

const Weight& Model::weight(int64_t layer, std::string_view name) const {
  const Weight* w = find(layer, name);
  LANDFALL_CHECK(w != nullptr, std::string(name) + " of layer " + std::to_string(layer));
  return *w;
}

int64_t Model::layer_of(const Weight& weight) const {
  const auto after = std::upper_bound(layer_begin_.begin(), layer_begin_.end(), static_cast<int64_t>(weight.id));
  return after - layer_begin_.begin() - 2;
}

int64_t Model::parameters() const {
  int64_t n = 0;
  for (const Weight& w : weights_) n += w.elements();
  return n;
}

int64_t Model::active_parameters() const {
  int64_t n = 0;
  for (size_t i = 0; i < weights_.size(); ++i) {
    const Weight& w = weights_[i];
    const bool routed = config_.experts > 0 && specs_[i].name.ends_with("_exps");
    n += routed ? w.elements() / w.experts * config_.router.experts_per_row : w.elements();
  }
  return n;
}

namespace {

std::string with_expert_text(const std::string& name, const std::string& expert) {
  const size_t at = name.find("{e}");
  return at == std::string::npos ? name : name.substr(0, at) + expert + name.substr(at + 3);
}

}  // namespace

std::string with_expert(const std::string& name, int64_t expert) {
  return with_expert_text(name, std::to_string(expert));
}

int64_t layer_in(const std::string& name) {
  for (const std::string_view prefix : {"blk.", "model.layers."}) {
    if (name.starts_with(prefix)) return std::strtoll(name.c_str() + prefix.size(), nullptr, 10);
  }
  return -1;
}

namespace {

// What traces and messages call a weight: its tensor in the files, with * for every expert; of a tensor that holds
// several weights, which one.
std::string weight_name(const WeightSpec& spec, const WeightPlace& place, const std::string& tensor) {
  return with_expert_text(tensor, "*") + (place.period > 0 ? "[" + spec.name + "]" : "");
}

const WeightPlace* place_of(const ModelSource& source, const WeightSpec& spec) {
  for (const WeightPlace& place : spec.places) {
    const std::string& name = place.name(source.kind);
    if (!name.empty() && source.find(with_expert(name, 0))) return &place;
  }
  return nullptr;
}

FileRows rows_of(const ModelSource& source, const WeightSpec& spec, const WeightPlace& place, int64_t expert) {
  const std::string& name = place.name(source.kind);
  const bool per_expert = name.find("{e}") != std::string::npos;
  const int64_t period = place.period > 0 ? place.period : spec.out;
  return {source.find(with_expert(name, expert)), (per_expert ? 0 : expert * period) + place.first};
}

// "'a' or 'b'"
std::string tensor_names(const ModelSource& source, const WeightSpec& spec) {
  std::string names;
  for (const WeightPlace& place : spec.places) {
    const std::string& name = place.name(source.kind);
    if (!name.empty()) names += (names.empty() ? "'" : " or '") + name + "'";
  }
  return names;
}

Status missing(const ModelSource& source, const WeightSpec& spec) {
  return Status(Code::data_loss, "'" + source.path + "' has no tensor " + tensor_names(source, spec) +
                                     ", which a model of architecture '" + source.architecture +
                                     "' needs; the file is incomplete");
}

Status check_shape(const ModelSource& source, const WeightSpec& spec, const WeightPlace& place, const FileTensor& t) {
  const std::string& name = place.name(source.kind);
  const bool per_expert = name.find("{e}") != std::string::npos;
  const int64_t rows = (place.period > 0 ? place.period : spec.out) * (per_expert ? 1 : spec.experts);
  if (t.format == nullptr) {
    return Status(Code::unsupported,
                  "tensor '" + t.name + "' has the type " + t.type_name +
                      ", which is not supported; supported are F32, F16, "
                      "BF16, F8_E4M3, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4");
  }
  if (t.columns() != spec.in || t.rows() != rows) {
    return Status(Code::data_loss,
                  "tensor '" + t.name + "' has the shape " + t.shape_text() + ", but the configuration asks for " +
                      (rows == 1 ? "[" : "[" + std::to_string(rows) + ", ") + std::to_string(spec.in) + "]");
  }
  return {};
}

}  // namespace

Status Model::add_layer(const ModelSource& source, std::vector<WeightSpec> specs) {
  for (WeightSpec& spec : specs) {
    const WeightPlace* place = place_of(source, spec);
    if (!place) {
      if (spec.optional) continue;
      return missing(source, spec);
    }
    const Format* format = nullptr;
    const std::string& name = place->name(source.kind);
    const int64_t tensors = name.find("{e}") == std::string::npos ? 1 : spec.experts;
    for (int64_t e = 0; e < tensors; ++e) {
      const FileTensor* t = source.find(with_expert(name, e));
      if (!t)
        return Status(Code::data_loss,
                      "'" + source.path + "' has no tensor '" + with_expert(name, e) + "'; the file is incomplete");
      LANDFALL_TRY(check_shape(source, spec, *place, *t));
      if (format && format != t->format) {
        return Status(Code::unsupported, "tensor '" + t->name + "' is " + t->type_name +
                                             " while the experts before it are " + std::string(format->name) +
                                             "; experts of one layer must share a type");
      }
      format = t->format;
    }
    Weight w = describe_weight(static_cast<uint32_t>(weights_.size()), weight_name(spec, *place, name), *format,
                               spec.experts, spec.out, spec.in);
    w.offset = (memory_bytes_ + 63) / 64 * 64;
    memory_bytes_ = w.offset + landfall::weight_bytes(w);
    if (memory_bytes_ < 0 || memory_bytes_ > (int64_t{1} << 50))
      return Status(Code::resource_exhausted, "'" + source.path + "' needs more memory than can be counted");
    weights_.push_back(std::move(w));
    specs_.push_back(std::move(spec));
  }
  layer_begin_.push_back(static_cast<int64_t>(weights_.size()));
  return {};
}

namespace {

// Whether the files carry the multi-token layer that their configuration counts, or what is missing.
Status carries_multi_token(const ModelSource& source, const Architecture& architecture, const Config& config) {
  auto none = [&](const std::string& why) {
    return Status(Code::not_found, "'" + source.path + "' carries no multi-token layer: " + why +
                                       "; take a file that does, or let 'ngram' or a smaller model draft");
  };
  if (!architecture.multi_token) return none("architecture '" + source.architecture + "' has none");
  if (config.multi_token_layers == 0) {
    const char* key = source.kind == ModelSource::Kind::gguf ? "nextn_predict_layers" : "num_nextn_predict_layers";
    return none("its " + std::string(key) + " is 0 or absent");
  }
  if (!source.packed.empty()) return none("packing leaves it out");
  for (const WeightSpec& spec : architecture.multi_token->weights(config, config.layers)) {
    if (!place_of(source, spec)) return none("it has no tensor " + tensor_names(source, spec));
  }
  return {};
}

}  // namespace

Result<Model> describe_model(const ModelSource& source) {
  Model model;
  LANDFALL_ASSIGN(model.architecture_, find_architecture(source.architecture));
  ConfigReader reader(source);
  model.architecture_->parse(reader, model.config_);
  LANDFALL_TRY(reader.status());
  model.notes_ = source.notes;
  if (carries_multi_token(source, *model.architecture_, model.config_).ok())
    model.notes_.push_back("the file carries a multi-token layer: '--draft mtp' guesses tokens with it");
  model.layer_begin_.push_back(0);
  for (int64_t layer = -1; layer < model.config_.layers; ++layer)
    LANDFALL_TRY(model.add_layer(source, model.architecture_->weights(model.config_, layer)));
  return model;
}

Result<Model> describe_multi_token(const ModelSource& source, const Model& model) {
  const Config& whole = model.config();
  LANDFALL_TRY(carries_multi_token(source, model.architecture(), whole));
  Model out;
  out.architecture_ = model.architecture().multi_token;
  out.config_ = whole;
  out.config_.layers = 1;
  out.config_.dense_layers = whole.is_expert_layer(whole.layers) ? 0 : 1;
  const auto outer = model.layer_begin_[1];
  out.weights_.assign(model.weights_.begin(), model.weights_.begin() + outer);
  out.specs_.assign(model.specs_.begin(), model.specs_.begin() + outer);
  out.layer_begin_ = {0, outer};
  out.shared_ = model.memory_;
  LANDFALL_TRY(out.add_layer(source, out.architecture_->weights(whole, whole.layers)));
  return out;
}

std::span<const std::byte> Model::memory() const { return {memory_->host(), static_cast<size_t>(memory_bytes())}; }

namespace {

// Pieces of a packed file that are mapped, or copied, by one thread at a time.
constexpr int64_t kPiece = int64_t{64} << 20;

// The mapped weights as the model's memory: large pages are asked for, and the mapping is filled in by all threads, so
// that the first answer does not do it page by page. What is not in the page cache yet comes to lie on all nodes in
// turn: the system lets nobody choose the node of a certain part of a file.
std::shared_ptr<Buffer> use_mapped(const ModelSource& source, ThreadPool& pool) {
  auto* begin = const_cast<std::byte*>(source.packed.data());
  const auto size = static_cast<int64_t>(source.packed.size());
  ::madvise(begin, source.packed.size(), MADV_HUGEPAGE);
  pool.parallel_for((size + kPiece - 1) / kPiece, 1, [&](int64_t first, int64_t last, int) {
    const bool placed = !pool.nodes().empty() && pool.numa().place_new_pages(pool.nodes());
    for (int64_t piece = first; piece < last; ++piece) {
#if defined(MADV_POPULATE_READ)
      ::madvise(begin + piece * kPiece, static_cast<size_t>(std::min(kPiece, size - piece * kPiece)),
                MADV_POPULATE_READ);  // where the system does not know this, pages come as they are touched
#endif
    }
    if (placed) (void)pool.numa().place_new_pages({});
  });
  return {new Buffer(begin, source.packed.size()), [keep = source.mappings()](Buffer* b) { delete b; }};
}

// Whether the loop over experts reads it, where a thread's part changes with the choice. The shared block goes through
// that loop behind the chosen experts.
bool read_with_experts(const WeightSpec& spec) { return spec.name.ends_with("_exps") || spec.name.ends_with("_shexp"); }

}  // namespace

Status load_weights(const ModelSource& source, ThreadPool& pool,
                    const std::function<bool(uint64_t, uint64_t)>& progress, Model& model, bool copy) {
  const int64_t total = model.memory_bytes();
  if (!source.packed.empty()) {
    if (total != static_cast<int64_t>(source.packed.size())) {
      return Status(Code::data_loss, "'" + source.path + "' holds " + std::to_string(source.packed.size()) +
                                         " bytes of weights, but its shapes need " + std::to_string(total) +
                                         "; pack the original again with 'landfall import --pack'");
    }
    if (!copy) {
      model.memory_ = use_mapped(source, pool);
      for (Weight& w : model.weights_) w.buffer = model.memory_.get();
      return {};
    }
  }
  model.memory_ = Buffer::allocate(static_cast<size_t>(total));
  if (!model.memory_) {
    return Status(Code::resource_exhausted,
                  "cannot reserve " + std::to_string(total) + " bytes of memory for the weights");
  }
  // Those that have a buffer are another model's, and come first.
  size_t first = 0;
  while (first < model.weights_.size() && model.weights_[first].buffer) ++first;
  for (size_t i = first; i < model.weights_.size(); ++i) model.weights_[i].buffer = model.memory_.get();
  if (!pool.nodes().empty() && place_in_turn(*model.memory_, pool)) {
    for (size_t i = first; i < model.weights_.size(); ++i) {
      if (!read_with_experts(model.specs_[i])) (void)place_by_thread(model.weights_[i], pool);
    }
  }
  if (!source.packed.empty()) {
    for (int64_t at = 0; at < total; at += kPiece) {
      pool.parallel_for(std::min(kPiece, total - at), int64_t{2} << 20, [&](int64_t begin, int64_t end, int) {
        std::memcpy(model.memory_->host() + at + begin, source.packed.data() + at + begin,
                    static_cast<size_t>(end - begin));
      });
      // What is copied need not stay in our memory twice.
      ::madvise(const_cast<std::byte*>(source.packed.data()) + at, static_cast<size_t>(std::min(kPiece, total - at)),
                MADV_DONTNEED);
      if (progress && !progress(static_cast<uint64_t>(std::min(total, at + kPiece)), static_cast<uint64_t>(total)))
        return Status(Code::cancelled, "loading was stopped");
    }
    return {};
  }
  std::mutex mutex;
  Status failure;
  std::atomic<bool> failed{false};
  auto fail = [&](const Status& status) {
    std::lock_guard lock(mutex);
    if (failure.ok()) failure = status;
    failed.store(true);
  };
  uint64_t done = 0;
  for (size_t i = first; i < model.weights_.size() && !failed.load(); ++i) {
    Weight& w = model.weights_[i];
    const WeightSpec& spec = model.specs_[i];
    const WeightPlace& place = *place_of(source, spec);
    if (w.experts == 1 && w.out == 1) {  // a vector, whatever its type in the file
      const FileRows rows = rows_of(source, spec, place, 0);
      std::vector<std::byte> scratch;
      auto row = rows.tensor->read_row(rows.first, scratch);
      if (!row.ok()) return row.status();
      rows.tensor->format->decode(*row, w.in, reinterpret_cast<float*>(w.buffer->host() + w.offset));
    } else {
      pool.parallel_for(w.experts * w.panels(), 1, [&](int64_t begin, int64_t end, int) {
        std::vector<std::byte> scratch[kPanelRows];
        for (int64_t task = begin; task < end && !failed.load(std::memory_order_relaxed); ++task) {
          const int64_t expert = task / w.panels(), panel = task % w.panels();
          const FileRows rows = rows_of(source, spec, place, expert);
          const std::byte* pointers[kPanelRows] = {};
          for (int64_t r = 0; r < kPanelRows && panel * kPanelRows + r < w.out; ++r) {
            auto row = rows.tensor->read_row(rows.first + panel * kPanelRows + r, scratch[r]);
            if (!row.ok()) return fail(row.status());
            pointers[r] = *row;
          }
          pack_panel(w, expert, panel, pointers);
        }
      });
    }
    for (int64_t e = 0; e < (w.experts == 1 ? 1 : spec.experts); ++e)
      source.release(*rows_of(source, spec, place, e).tensor);
    done += static_cast<uint64_t>(landfall::weight_bytes(w));
    if (progress && !progress(done, static_cast<uint64_t>(total)))
      return Status(Code::cancelled, "loading was stopped");
  }
  return failure;
}

FileRows file_rows(const ModelSource& source, const WeightSpec& spec, int64_t expert) {
  return rows_of(source, spec, *place_of(source, spec), expert);
}

Tensor forward(Ctx& ctx, const Model& model, Tensor* hidden) {
  const Architecture& a = model.architecture();
  const bool keep = ctx.reader.keeps_outputs();
  Tensor state = a.embed(ctx, model);
  const Arena::Mark mark = ctx.arena.mark();
  for (int64_t layer = 0; layer < model.config().layers; ++layer) {
    const Tensor next = a.layer(ctx, model, layer, state);
    if (keep) {
      state = next;
      continue;
    }
    // Megabytes where rows are many; a thread's share of less than 64 KiB is sooner copied than handed out.
    ctx.pool.parallel_for(next.elements() * size_of(next.type), 64 << 10, [&](int64_t begin, int64_t end, int) {
      std::memcpy(state.buffer->host() + state.offset + begin, next.buffer->host() + next.offset + begin,
                  static_cast<size_t>(end - begin));
    });
    ctx.arena.rewind(mark);
  }
  const Tensor normed = a.norm(ctx, model, state);
  if (hidden) *hidden = normed;
  return a.head(ctx, model, normed);
}

}  // namespace landfall
