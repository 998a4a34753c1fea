#include "model/random_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <tuple>

#include "model/architecture.h"
#include "model/gguf_writer.h"
#include "model/rope_scaling.h"
#include "model/shape_tensors.h"
#include "model/tokenizer/placeholder.h"

namespace landfall {
namespace {

bool ends(std::string_view text, std::string_view end) { return text.ends_with(end); }
bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// ---- numbers

class Random {  // splitmix64 (Steele, Lea, Flood 2014)
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  // Close to normal, of deviation 1: the sum of four uniform numbers.
  float normal() {
    float sum = -2;
    for (int i = 0; i < 4; ++i) sum += static_cast<float>(next() >> 40) * 0x1p-24f;
    return sum * 1.7320508f;
  }

 private:
  uint64_t state_;
};

// ---- the tensors of a model

struct Plan {
  std::vector<OutputTensor> tensors;
  struct Content {
    double deviation = 0;
    std::vector<float> values;  // the whole tensor where it is not random
  };
  std::vector<Content> contents;

  void add(std::string name, std::vector<int64_t> shape, const Format* format, Content content) {
    tensors.push_back({std::move(name), std::move(shape), format});
    contents.push_back(std::move(content));
  }
};

// What the residual stream is added to by one sub-layer stays small beside the embedding's 1, for all layers together.
double standard_deviation(std::string_view name, int64_t columns, int64_t layers) {
  if (name == "token_embd.weight") return 1;
  const double unit = 1 / std::sqrt(static_cast<double>(columns));
  if (ends(name, "attn_output.weight") || contains(name, "ffn_down"))
    return unit * std::min(0.2, 1 / std::sqrt(2.0 * static_cast<double>(layers)));
  return unit;
}

// By how much each expert's router row is larger so that `chosen` experts a token follow Zipf's law. A score is close
// to normal with a deviation in proportion to the row, and the chosen are those above a threshold: an expert of
// deviation threshold / z(1 - p) is above it with probability p. No probability is over 0.45, where that ends.
std::vector<double> zipf_deviations(int64_t experts, int64_t chosen) {
  constexpr double kMost = 0.45, kThreshold = 1.5;
  auto probability = [](double z) { return std::erfc(z / std::sqrt(2.0)) / 2; };
  auto expected = [&](double scale) {
    double sum = 0;
    for (int64_t r = 1; r <= experts; ++r) sum += std::min(kMost, scale / static_cast<double>(r));
    return sum;
  };
  // The value at which a rising function reaches a wanted one.
  auto solve = [](auto&& rising, double wanted, double low, double high) {
    for (int step = 0; step < 80; ++step) {
      const double middle = (low + high) / 2;
      (rising(middle) < wanted ? low : high) = middle;
    }
    return low;
  };
  const double wanted = std::min(static_cast<double>(chosen), 0.4 * static_cast<double>(experts));
  const double scale = solve(expected, wanted, 0, static_cast<double>(experts));
  std::vector<double> out;
  for (int64_t r = 1; r <= experts; ++r) {
    const double p = std::min(kMost, scale / static_cast<double>(r));
    out.push_back(kThreshold / solve([&](double z) { return -probability(z); }, -p, 0, 10));
  }
  return out;
}

void add_tensor(Plan& plan, const GgufType& type, const FileTensor& t, int64_t layers) {
  if (t.shape.size() == 1) {
    std::vector<float> ones;
    if (!ends(t.name, ".bias")) ones.assign(static_cast<size_t>(t.columns()), 1.0f);
    return plan.add(t.name, t.shape, t.format, {0.02, std::move(ones)});
  }
  plan.add(t.name, t.shape, gguf_format(type, t.name, t.columns(), layer_in(t.name), layers),
           {standard_deviation(t.name, t.columns(), layers), {}});
}

// Every router's rows, popular experts scattered over the layer.
void skew_routers(Plan& plan, int64_t experts, int64_t chosen, uint64_t seed) {
  const std::vector<double> deviations = zipf_deviations(experts, chosen);
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    if (!ends(plan.tensors[i].name, "ffn_gate_inp.weight")) continue;
    Random random(seed * 977 + i);
    Plan::Content& content = plan.contents[i];
    for (int64_t e = 0; e < experts; ++e) {
      const auto rank = static_cast<size_t>((e * 37 + static_cast<int64_t>(i)) % experts);
      for (int64_t c = plan.tensors[i].columns(); c > 0; --c)
        content.values.push_back(static_cast<float>(content.deviation * deviations[rank]) * random.normal());
    }
  }
}

Json metadata_of(const RandomModel& what, const GgufType& type) {
  Json out = shape_metadata(what.shape, what.fused);
  return out.set("general.file_type", type.number);
}

Result<Plan> plan_of(const RandomModel& what, const GgufType& type) {
  const ModelShape& shape = what.shape;
  if (what.zipf && shape.experts == 0)
    return Status(Code::invalid_argument, std::string(shape.name) + " has no experts to choose between");
  LANDFALL_ASSIGN(const std::vector<FileTensor> tensors,
                  shape_tensors(ModelSource::Kind::gguf, shape, metadata_of(what, type), what.fused));
  Plan plan;
  for (const FileTensor& t : tensors) add_tensor(plan, type, t, shape.layers);
  if (what.zipf) skew_routers(plan, shape.experts, shape.experts_used, what.seed);
  if (shape.rope_scaling == "llama3") {
    const int64_t dims = shape.head_columns();
    const auto plain = plain_frequencies(dims, shape.rope_base);
    const auto scaled =
        llama3_frequencies(dims, shape.rope_base, shape.rope_factor, 1, 4, static_cast<double>(shape.rope_original));
    std::vector<float> divisors;
    for (size_t i = 0; i < plain.size(); ++i) divisors.push_back(plain[i] / scaled[i]);
    plan.add("rope_freqs.weight", {dims / 2}, format_by_name("F32"), {0, std::move(divisors)});
  }
  return plan;
}

// ---- their bytes

// Encoding every weight would take minutes, so a row is put together from pieces of 256 or 32 columns drawn from a pool
// of encoded ones.
struct Pool {
  size_t piece_bytes;
  std::vector<std::byte> pieces;  // a power of two of them
};

constexpr int64_t kPoolNumbers = int64_t{1} << 18;

int64_t piece_columns(int64_t columns) { return columns % 256 == 0 ? 256 : columns % 32 == 0 ? 32 : 1; }

Pool make_pool(const Format& format, int64_t columns, double deviation) {
  const int64_t n = piece_columns(columns);
  Random random(static_cast<uint64_t>(n) * 31 + static_cast<uint64_t>(format.gguf_type));
  std::vector<float> numbers(kPoolNumbers);
  for (float& v : numbers) v = static_cast<float>(deviation) * random.normal();
  Pool out{static_cast<size_t>(n / format.block * format.block_bytes), {}};
  out.pieces.resize(static_cast<size_t>(kPoolNumbers / format.block * format.block_bytes));
  format.encode(numbers.data(), kPoolNumbers, out.pieces.data());
  return out;
}

class Filler {
 public:
  Filler(ThreadPool& threads, const Plan& plan, uint64_t seed) : threads_(threads), plan_(plan), seed_(seed) {}

  Status operator()(size_t tensor, int64_t first, int64_t count, std::span<std::byte> out) {
    const OutputTensor& t = plan_.tensors[tensor];
    const Plan::Content& content = plan_.contents[tensor];
    if (!content.values.empty()) {
      std::memcpy(out.data(), content.values.data(), out.size());
      return {};
    }
    const Pool& pool = pool_for(*t.format, t.columns(), content.deviation);
    const auto row_bytes = static_cast<size_t>(t.row_bytes());
    const uint64_t last = pool.pieces.size() / pool.piece_bytes - 1;
    threads_.parallel_for(count, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        Random random((seed_ << 40) + (static_cast<uint64_t>(tensor) << 24) + static_cast<uint64_t>(first + row));
        random = Random(random.next());
        std::byte* to = out.data() + static_cast<size_t>(row) * row_bytes;
        for (size_t at = 0; at < row_bytes; at += pool.piece_bytes)
          std::memcpy(to + at, pool.pieces.data() + (random.next() & last) * pool.piece_bytes, pool.piece_bytes);
      }
    });
    return {};
  }

 private:
  const Pool& pool_for(const Format& format, int64_t columns, double deviation) {
    const auto key = std::tuple(&format, piece_columns(columns), deviation);
    auto at = pools_.find(key);
    if (at == pools_.end()) at = pools_.emplace(key, make_pool(format, columns, deviation)).first;
    return at->second;
  }
  ThreadPool& threads_;
  const Plan& plan_;
  uint64_t seed_;
  std::map<std::tuple<const Format*, int64_t, double>, Pool> pools_;
};

}  // namespace

Result<std::vector<OutputTensor>> random_model_tensors(const RandomModel& what) {
  LANDFALL_ASSIGN(const GgufType type, find_gguf_type(what.type));
  LANDFALL_ASSIGN(Plan plan, plan_of(what, type));
  return std::move(plan.tensors);
}

Status write_random_model(Env& env, ThreadPool& pool, const RandomModel& what, const std::string& path,
                          const std::function<bool(uint64_t, uint64_t)>& progress) {
  LANDFALL_ASSIGN(const GgufType type, find_gguf_type(what.type));
  LANDFALL_ASSIGN(const Plan plan, plan_of(what, type));
  Json metadata = metadata_of(what, type);
  add_placeholder_tokenizer(metadata, what.shape.vocab, what.shape.pre_tokenizer);
  Filler filler(pool, plan, what.seed);
  return write_gguf(env, path, encode_metadata(metadata), plan.tensors, std::ref(filler), progress);
}

}  // namespace landfall
