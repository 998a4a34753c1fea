#include "model/write_model.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>

#include "model/gguf_types.h"
#include "model/gguf_writer.h"
#include "model/new_folder.h"
#include "model/other_layout.h"
#include "model/row_order.h"
#include "model/safetensors_writer.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/write_tokenizer.h"
#include "tensor/access.h"

namespace landfall {
namespace {

constexpr int64_t kAtOnce = 16;  // rows that a thread has as floats

// Rows [first, first + weight->out) of a file's tensor.
struct Part {
  int64_t first;
  const Weight* weight;
  int64_t expert;
  int64_t (*row_of)(const Model& model, int64_t row);  // null: the rows of the weight as they stand
};

// The new file's tensors, in the order of `source.tensors()` without those that are left out, and where the numbers of
// each come from.
class Layout {
 public:
  // `source` and `model` are as the new files have them: what was read, or its description in the other layout.
  // `numbers` is the model that was read.
  Layout(const ModelSource& source, const Model& model, const Model& numbers)
      : source_(source), model_(model), numbers_(numbers) {}

  Status make(const std::function<const Format*(const FileTensor&)>& choose) {
    for (const Weight& w : model_.weights()) {
      const WeightSpec& spec = model_.spec(w);
      const Weight& read = numbers_.weight(model_.layer_of(w), spec.name);
      const bool here = is_permuted(model_, w), there = is_permuted(numbers_, read);
      for (int64_t e = 0; e < w.experts; ++e) {
        const FileRows at = file_rows(source_, spec, e);
        parts[at.tensor].push_back({at.first, &read, e,
                                    here == there ? nullptr
                                    : here        ? half_split_row
                                                  : interleaved_row});
      }
    }
    // Files of a tied model may hold the embedding a second time.
    const FileTensor* copy = model_.config().tied ? source_.find("lm_head.weight") : nullptr;
    const Weight& embedding = model_.weight(-1, "token_embd");
    if (copy && copy->shape == std::vector<int64_t>{embedding.out, embedding.in})
      parts[copy].push_back({0, &embedding, 0, nullptr});
    for (auto& [tensor, its_parts] : parts)
      std::sort(its_parts.begin(), its_parts.end(), [](const Part& a, const Part& b) { return a.first < b.first; });
    for (const FileTensor& t : source_.tensors()) {
      if (is_scale(t)) continue;
      if (!parts.contains(&t)) LANDFALL_TRY(check_copy(t));
      tensors.push_back({t.name, t.shape, choose(t)});
      from.push_back(&t);
    }
    return {};
  }

  // F32 first, which safetensors files need.
  void widest_first() {
    std::vector<size_t> order(tensors.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_partition(order.begin(), order.end(), [&](size_t i) { return tensors[i].format->name == "F32"; });
    std::vector<OutputTensor> sorted;
    std::vector<const FileTensor*> sorted_from;
    for (const size_t i : order) {
      sorted.push_back(std::move(tensors[i]));
      sorted_from.push_back(from[i]);
    }
    tensors = std::move(sorted);
    from = std::move(sorted_from);
  }

  std::vector<OutputTensor> tensors;
  std::vector<const FileTensor*> from;  // of the same index
  std::map<const FileTensor*, std::vector<Part>> parts;

 private:
  // Of a weight in 8 bits, which is written in wider numbers.
  bool is_scale(const FileTensor& t) const {
    constexpr std::string_view kEnd = "_scale_inv";
    if (source_.kind != ModelSource::Kind::hugging_face || !t.name.ends_with(kEnd)) return false;
    const FileTensor* scaled = source_.find(t.name.substr(0, t.name.size() - kEnd.size()));
    return scaled && !scaled->scales.empty();
  }

  Status check_copy(const FileTensor& t) const {
    if (!t.format)
      return Status(Code::unsupported,
                    "tensor '" + t.name + "' has the type " + t.type_name + ", which cannot be copied");
    const int64_t layer = layer_in(t.name);
    if (layer < 0 || layer >= model_.config().layers || t.rows() == 1) return {};
    return Status(Code::unsupported,
                  "tensor '" + t.name + "' of layer " + std::to_string(layer) +
                      " is not read by the model: it may hold in another form what has changed (as attn_k_b beside "
                      "attn_kv_b does); start from a file without it");
  }

  const ModelSource& source_;
  const Model& model_;
  const Model& numbers_;
};

// The numbers of the tensors of a layout.
class Numbers {
 public:
  Numbers(const ModelSource& source, const Model& model, const Layout& layout, ThreadPool& pool, const WeightRows& rows)
      : source_(source), model_(model), layout_(layout), pool_(pool), rows_(rows) {}

  // As FillRows.
  Status operator()(size_t tensor, int64_t first, int64_t count, std::span<std::byte> out) const {
    const OutputTensor& to = layout_.tensors[tensor];
    const FileTensor& from = *layout_.from[tensor];
    std::mutex mutex;
    Status failure;
    std::atomic<bool> failed{false};
    pool_.parallel_for(count, kAtOnce, [&](int64_t begin, int64_t end, int) {
      // Rows in the source's own blocks may be longer.
      const int64_t block = from.format->block, room = (to.columns() + block - 1) / block * block;
      std::vector<float> numbers(static_cast<size_t>(std::max(kAtOnce * to.columns(), room)));
      std::vector<std::byte> scratch;
      for (int64_t row = begin; row < end && !failed.load(std::memory_order_relaxed);) {
        auto at = read(from, first + row, std::min(kAtOnce, end - row), numbers, scratch);
        const int64_t done = at.ok() ? *at : 0;
        Status status = at.ok() ? check(to, {numbers.data(), static_cast<size_t>(done * to.columns())}) : at.status();
        if (!status.ok()) {
          const std::lock_guard lock(mutex);
          if (failure.ok()) failure = status;
          failed.store(true);
          return;
        }
        for (int64_t r = 0; r < done; ++r)
          to.format->encode(numbers.data() + r * to.columns(), to.columns(), out.data() + (row + r) * to.row_bytes());
        row += done;
      }
    });
    if (first + count == to.rows() && source_.find(from.name) == &from) source_.release(from);
    return failure;
  }

 private:
  // Reads up to `most` rows of the source's tensor as numbers of today; returns how many.
  Result<int64_t> read(const FileTensor& t, int64_t row, int64_t most, std::vector<float>& numbers,
                       std::vector<std::byte>& scratch) const {
    if (const auto found = layout_.parts.find(&t); found != layout_.parts.end()) {
      const std::vector<Part>& parts = found->second;
      auto after =
          std::upper_bound(parts.begin(), parts.end(), row, [](int64_t r, const Part& p) { return r < p.first; });
      if (after != parts.begin()) {
        const Part& p = *(after - 1);
        const int64_t within = row - p.first, count = std::min(most, p.weight->out - within);
        if (count > 0 && p.row_of) {
          rows_(*p.weight, p.expert, p.row_of(model_, within), 1, numbers.data());
          return int64_t{1};
        }
        if (count > 0) {
          rows_(*p.weight, p.expert, within, count, numbers.data());
          return count;
        }
      }
    }
    LANDFALL_ASSIGN(const std::byte* blocks, t.read_row(row, scratch));
    t.format->decode(blocks, (t.columns() + t.format->block - 1) / t.format->block * t.format->block, numbers.data());
    return int64_t{1};
  }

  static Status check(const OutputTensor& to, std::span<const float> numbers) {
    // The largest number that rounds to one that half precision has is just below 65520.
    const bool half = to.format->name == "F16";
    for (const float v : numbers) {
      if (std::isfinite(v) && (!half || std::abs(v) < 65520.0f)) continue;
      return Status(
          Code::invalid_argument,
          "tensor '" + to.name + "' holds the number " + std::to_string(v) + ", which " +
              (std::isfinite(v) ? "F16 cannot hold; write BF16" : "is of no use; take an earlier checkpoint or file"));
    }
    return {};
  }

  const ModelSource& source_;  // that was read, and its model
  const Model& model_;
  const Layout& layout_;
  ThreadPool& pool_;
  const WeightRows& rows_;
};

bool is_vector(const FileTensor& t) { return t.shape.size() <= 1; }

Json without(const Json& config, std::string_view key) {
  Json::Object kept;
  for (const auto& member : config.object()) {
    if (member.first != key) kept.push_back(member);
  }
  return Json(std::move(kept));
}

// What people keep beside the weights: tokenizer, chat template, settings of generation, and the code that config.json
// may name.
bool goes_along(std::string_view name) {
  constexpr std::string_view kNames[] = {"tokenizer.json",
                                         "tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "added_tokens.json",
                                         "vocab.json",
                                         "merges.txt",
                                         "tokenizer.model",
                                         "chat_template.jinja",
                                         "chat_template.json",
                                         "generation_config.json",
                                         "LICENSE"};
  constexpr std::string_view kCode[] = {"configuration_", "modeling_", "tokenization_"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
         (name.ends_with(".py") && std::any_of(std::begin(kCode), std::end(kCode),
                                               [&](std::string_view begin) { return name.starts_with(begin); }));
}

// As config.json calls a type.
Result<std::string> torch_name(const std::string& type) {
  if (type == "F32") return std::string("float32");
  if (type == "BF16") return std::string("bfloat16");
  if (type == "F16") return std::string("float16");
  return Status(Code::invalid_argument, "a model of safetensors files cannot be written as '" + type.substr(0, 80) +
                                            "'; F32, BF16 and F16 are possible");
}

// The description of a model where it is to be written in another layout than it was read in; whether it can be
// written.
Result<std::optional<OtherLayout>> other_layout(const ModelSource& source, const Model& model,
                                                ModelSource::Kind layout) {
  if (!source.packed.empty()) {
    return Status(Code::unsupported, "'" + source.path +
                                         "' is packed for this program alone and has no layout to write a model in; "
                                         "give the GGUF file or folder that it was packed from");
  }
  std::optional<OtherLayout> out;
  if (layout != source.kind) {
    LANDFALL_ASSIGN(out, describe_in(layout, source, model));
  }
  return out;
}

// What is written in this type; arguments as Layout's.
Result<Layout> layout_of(const ModelSource& source, const Model& model, const Model& numbers, const std::string& type) {
  Layout layout(source, model, numbers);
  const Format* f32 = format_by_name("F32");
  if (source.kind == ModelSource::Kind::gguf) {
    LANDFALL_ASSIGN(const GgufType gguf, find_gguf_type(type));
    LANDFALL_TRY(layout.make([&](const FileTensor& t) {
      return is_vector(t) ? f32 : gguf_format(gguf, t.name, t.columns(), layer_in(t.name), model.config().layers);
    }));
  } else {
    LANDFALL_TRY(torch_name(type).status());
    const Format* most = format_by_name(type);
    LANDFALL_TRY(layout.make([&](const FileTensor& t) { return is_vector(t) && t.format == f32 ? f32 : most; }));
    layout.widest_first();
  }
  return layout;
}

Status copy_beside(Env& env, const std::string& from, const std::string& folder) {
  LANDFALL_ASSIGN(const auto entries, env.list(from));
  for (const DirectoryEntry& entry : entries) {
    if (entry.is_directory || !goes_along(entry.name)) continue;
    LANDFALL_ASSIGN(const std::string bytes, env.read(join_path(from, entry.name)));
    LANDFALL_TRY(write_file(env, join_path(folder, entry.name), bytes));
  }
  return {};
}

// The files that copy_beside() would copy, made from what a GGUF file says.
Status write_beside(Env& env, const std::optional<TokenizerSpec>& tokenizer, const std::string& folder) {
  if (!tokenizer) return {};
  Json generation{Json::Object{}};
  if (tokenizer->bos >= 0) generation.set("bos_token_id", tokenizer->bos);
  LANDFALL_ASSIGN(const Tokenizer sound, Tokenizer::create(*tokenizer));
  const std::vector<int32_t>& ends = sound.eos_ids();
  if (!ends.empty()) generation.set("eos_token_id", Json::Array(ends.begin(), ends.end()));
  const auto write = [&](const char* name, const Json& json) {
    return write_file(env, join_path(folder, name), json.dump(2) + "\n");
  };
  LANDFALL_TRY(write("tokenizer.json", tokenizer_json(*tokenizer)));
  LANDFALL_TRY(write("tokenizer_config.json", tokenizer_config_json(*tokenizer)));
  return write("generation_config.json", generation);
}

// `source` as the folder has it; `beside` writes what goes along.
Status write_hugging_face(Env& env, const ModelSource& source, const std::string& type, const Layout& layout,
                          const Numbers& numbers, const std::string& path, const WriteProgress& progress,
                          const std::function<Status(const std::string& folder)>& beside) {
  LANDFALL_ASSIGN(const std::string named, torch_name(type));
  Json config = without(source.config, "quantization_config");
  config.set(config.find("dtype") ? "dtype" : "torch_dtype", named);
  return write_folder(env, path, [&](const std::string& folder) -> Status {
    LANDFALL_TRY(
        write_safetensors(env, join_path(folder, "model.safetensors"), layout.tensors, std::cref(numbers), progress));
    LANDFALL_TRY(write_file(env, join_path(folder, "config.json"), config.dump(2) + "\n"));
    return beside(folder);
  });
}

// The source's, but for the type and what says that there are several files.
GgufMetadata metadata_of(const ModelSource& source, const GgufType& type) {
  GgufMetadata out = encode_metadata(Json().set("general.file_type", type.number));
  for (const ModelSource::RawValue& value : source.raw_metadata) {
    if (value.key == "general.file_type" || value.key.starts_with("split.")) continue;
    out.bytes.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
    ++out.count;
  }
  out.alignment = static_cast<uint64_t>(source.config["general.alignment"].integer(32));
  return out;
}

GgufMetadata metadata_of(const OtherLayout& other, const GgufType& type) {
  Json metadata = other.source.config;
  metadata.set("general.file_type", type.number);
  if (other.tokenizer) add_tokenizer_metadata(metadata, *other.tokenizer);
  return encode_metadata(metadata);
}

}  // namespace

WeightRows own_rows() {
  return [](const Weight& weight, int64_t expert, int64_t first, int64_t count, float* out) {
    unpack_rows(weight, expert, first, count, out);
  };
}

Status check_writable(const ModelSource& source, const Model& model, const WriteAs& as) {
  LANDFALL_ASSIGN(const auto other, other_layout(source, model, as.layout));
  return layout_of(other ? other->source : source, other ? other->model : model, model, as.type).status();
}

Status check_target(Env& env, const ModelSource& source, const std::string& path) {
  for (const std::string& file : source.files) {
    if (env.same(file, path) || env.same(std::string(folder_of(file)), path))
      return Status(Code::invalid_argument, "'" + path + "' is the model that is read; name another place");
  }
  return {};
}

Status write_model(Env& env, ThreadPool& pool, const ModelSource& source, const Model& model, const WriteAs& as,
                   const WeightRows& rows, const std::string& path, const WriteProgress& progress) {
  LANDFALL_TRY(check_target(env, source, path));
  LANDFALL_ASSIGN(const auto other, other_layout(source, model, as.layout));
  const ModelSource& target = other ? other->source : source;
  LANDFALL_ASSIGN(const Layout layout, layout_of(target, other ? other->model : model, model, as.type));
  const Numbers numbers(source, model, layout, pool, rows);
  if (as.layout == ModelSource::Kind::gguf) {
    LANDFALL_ASSIGN(const GgufType type, find_gguf_type(as.type));
    const GgufMetadata metadata = other ? metadata_of(*other, type) : metadata_of(source, type);
    return write_gguf(env, path, metadata, layout.tensors, std::cref(numbers), progress);
  }
  return write_hugging_face(env, target, as.type, layout, numbers, path, progress, [&](const std::string& folder) {
    return other ? write_beside(env, other->tokenizer, folder) : copy_beside(env, source.path, folder);
  });
}

}  // namespace landfall
