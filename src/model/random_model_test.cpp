// Files of random weights, read back: every published shape has the parameters that its publisher states, every type
// can be written, the numbers are sane, and nothing is left of a file that could not be finished.
#include "model/random_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/testing.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"
#include "tensor/access.h"
#include "tensor/operator.h"

namespace landfall {
namespace {

Status write(const RandomModel& what, const std::string& path) {
  ThreadPool pool(2);
  return write_random_model(Env::real(), pool, what, path, nullptr);
}

// The same family in three layers and some megabytes.
ModelShape small(ModelShape shape) {
  shape = with_layers(shape, 3);
  shape.width = 512;
  shape.heads = 4;
  shape.kv_heads = shape.kv_heads == 1 ? 1 : 2;
  shape.head_dim = shape.kv_lora > 0 ? 0 : 128;
  shape.ffn = 768;
  shape.vocab = 1100;
  if (shape.q_lora > 0) shape.q_lora = 256;
  if (shape.experts > 0) {
    shape.experts = 16;
    shape.expert_ffn = 256;
    if (shape.groups > 0) shape.groups = 4;
    if (shape.groups > 0) shape.groups_kept = 3;
  }
  return shape;
}

ModelShape small(const char* name) { return small(*find_model_shape(name)); }

// The run reading; which experts each row was sent to is noted.
class RoutingReader : public RunReader {
 public:
  void call(Ctx& ctx, OpCall& call) override {
    RunReader::call(ctx, call);
    if (call.op->name != "router") return;
    const auto ids = load_doubles(call.out[0]);
    const size_t used = ids.size() / static_cast<size_t>(call.out[0].rows());
    for (double id : ids) ++times[static_cast<size_t>(id)];
    for (size_t at = 0; at < ids.size(); at += used)
      chosen.insert(std::set<double>(ids.begin() + static_cast<std::ptrdiff_t>(at),
                                     ids.begin() + static_cast<std::ptrdiff_t>(at + used)));
  }
  std::set<std::set<double>> chosen;
  std::map<size_t, int> times;  // each expert, in all layers together
};

struct Answer {
  std::vector<double> logits;
  size_t routings = 0;
  double eighth = 0;  // of all choices, by the eight that are chosen most
};

constexpr int32_t kTokens = 24;

Answer run(const std::string& path, Model& model) {
  auto source = ModelSource::open(Env::real(), path);
  EXPECT_TRUE(source.ok()) << source.status().message();
  auto described = describe_model(*source);
  EXPECT_TRUE(described.ok()) << described.status().message();
  model = std::move(*described);
  ThreadPool pool(2);
  EXPECT_TRUE(load_weights(*source, pool, nullptr, model).ok());
  std::vector<int32_t> tokens, positions(kTokens);
  for (int32_t i = 0; i < kTokens; ++i) tokens.push_back(300 + 7 * i);
  std::iota(positions.begin(), positions.end(), 0);
  const Run all{0, kTokens, 0, 0, true};
  const Batch batch{tokens, positions, {&all, 1}, positions};
  RoutingReader reader;
  Arena arena;
  Ctx ctx = make_ctx(reader, {available_kernel_sets().back(), false}, pool, arena, batch, nullptr);
  Answer out;
  out.logits = load_doubles(forward(ctx, model));
  out.routings = reader.chosen.size();
  std::vector<int> times;
  for (const auto& [id, n] : reader.times) times.push_back(n);
  std::sort(times.rbegin(), times.rend());
  const double all_choices = std::accumulate(times.begin(), times.end(), 0.0);
  out.eighth = std::accumulate(times.begin(), times.begin() + std::min<std::ptrdiff_t>(8, std::ssize(times)), 0.0) /
               std::max(1.0, all_choices);
  return out;
}

TEST(RandomModel, EveryShapeHasThePublishedNumberOfParameters) {
  // In billions, as stated on the models' pages.
  const std::map<std::string_view, double> published = {
      {"deepseek-llm-7b", 6.91},      {"deepseek-llm-67b", 67.4},    {"deepseek-coder-1.3b", 1.35},
      {"deepseek-coder-6.7b", 6.74},  {"deepseek-coder-33b", 33.3},  {"deepseek-moe-16b", 16.4},
      {"deepseek-v2-lite", 15.7},     {"deepseek-v2", 235.7},        {"deepseek-v3", 671.0},
      {"r1-distill-qwen-1.5b", 1.78}, {"r1-distill-qwen-7b", 7.62},  {"r1-distill-qwen-14b", 14.8},
      {"r1-distill-qwen-32b", 32.8},  {"r1-distill-llama-8b", 8.03}, {"r1-distill-llama-70b", 70.6},
      {"r1-qwen3-8b", 8.19},          {"llama-1.1b", 1.10},          {"llama-small", 0.2108}};
  EXPECT_EQ(published.size(), model_shapes().size());
  for (const ModelShape& shape : model_shapes()) {
    ASSERT_TRUE(published.contains(shape.name)) << shape.name;
    for (bool fused : {false, true}) {
      auto tensors = random_model_tensors({shape, "Q4_0", 1, fused});
      ASSERT_TRUE(tensors.ok()) << tensors.status().message();
      double parameters = 0;
      for (const OutputTensor& t : *tensors) parameters += static_cast<double>(t.rows() * t.columns());
      EXPECT_NEAR(parameters / 1e9, published.at(shape.name), 0.005 * published.at(shape.name)) << shape.name;
    }
  }
}

TEST(RandomModel, EveryFamilyRunsWithSaneNumbers) {
  for (const ModelShape& shape : model_shapes()) {
    const std::string path = temporary_path("family.gguf");
    for (bool fused : {false, true}) {
      if (fused && shape.kv_lora == 0) continue;
      SCOPED_TRACE(std::string(shape.name) + (fused ? ", fused" : ""));
      ASSERT_TRUE(write({small(shape), "Q4_0", 1, fused}, path).ok());
      Model model;
      const Answer answer = run(path, model);
      double sum = 0;
      for (double v : answer.logits) {
        ASSERT_TRUE(std::isfinite(v));
        sum += v * v;
      }
      const double deviation = std::sqrt(sum / static_cast<double>(answer.logits.size()));
      EXPECT_GT(deviation, 0.3);
      EXPECT_LT(deviation, 3);
      // Twenty-four tokens in two layers with experts: many different choices, not one for all.
      if (shape.experts > 0) {
        EXPECT_GE(answer.routings, size_t{kTokens});
      }
      EXPECT_EQ(model.config().layers, 3);
    }
    (void)Env::real().remove(path).ok();
  }
}

TEST(RandomModel, EveryTypeIsWrittenAndRead) {
  const std::string path = temporary_path("type.gguf");
  std::string types = gguf_type_names() + ",";
  int count = 0;
  for (size_t at = 0; at < types.size(); ++count) {
    const size_t end = types.find(',', at);
    const std::string type = types.substr(at, end - at);
    at = std::min(types.size(), end + 2);
    SCOPED_TRACE(type);
    ASSERT_TRUE(write({small("deepseek-v2-lite"), type}, path).ok());
    Model model;
    const Answer answer = run(path, model);
    for (double v : answer.logits) ASSERT_TRUE(std::isfinite(v));
  }
  EXPECT_GE(count, 15);
  (void)Env::real().remove(path).ok();
}

TEST(RandomModel, ExpertsAreChosenAlikeOrByZipfsLaw) {
  const std::string path = temporary_path("zipf.gguf");
  ModelShape shape = with_layers(small("deepseek-v2-lite"), 2);  // one layer with experts
  shape.experts = 64;
  double eighth[2];
  for (bool zipf : {false, true}) {
    ASSERT_TRUE(write({.shape = shape, .zipf = zipf}, path).ok());
    Model model;
    eighth[zipf] = run(path, model).eighth;
  }
  EXPECT_LT(eighth[0], 0.33);  // eight of 64 are chosen 12 % of the time, the most popular of a small sample more often
  EXPECT_GT(eighth[1], 0.40);  // 48 % by the law
  EXPECT_FALSE(write({.shape = small("r1-qwen3-8b"), .zipf = true}, path).ok());
  (void)Env::real().remove(path).ok();
}

TEST(RandomModel, AMixIsThatOfTheUsualFile) {
  auto tensors = random_model_tensors({*find_model_shape("deepseek-v2-lite"), "Q4_K_M"});
  ASSERT_TRUE(tensors.ok());
  std::map<std::string, std::string_view> format;
  for (const OutputTensor& t : *tensors) format[t.name] = t.format->name;
  EXPECT_EQ(format["output.weight"], "Q6_K");
  EXPECT_EQ(format["token_embd.weight"], "Q4_K");
  EXPECT_EQ(format["blk.5.ffn_gate_exps.weight"], "Q4_K");
  EXPECT_EQ(format["blk.1.ffn_down_exps.weight"], "Q8_0");  // rows of 1408: no multiple of 256
  EXPECT_EQ(format["blk.4.ffn_down_exps.weight"], "Q5_0");
  EXPECT_EQ(format["blk.5.ffn_gate_inp.weight"], "F32");
  EXPECT_EQ(format["blk.5.attn_k_b.weight"], "Q5_0");  // rows of 128
}

TEST(RandomModel, TheSeedDecidesTheBytesWhateverTheThreads) {
  std::vector<std::string> files;
  for (auto [seed, threads] : {std::pair{1, 1}, std::pair{1, 3}, std::pair{2, 1}}) {
    ThreadPool pool(threads);
    const std::string path = temporary_path("seed.gguf");
    ASSERT_TRUE(write_random_model(Env::real(), pool, {small("r1-qwen3-8b"), "Q4_K_M", static_cast<uint64_t>(seed)},
                                   path, nullptr)
                    .ok());
    files.push_back(*Env::real().read(path));
    (void)Env::real().remove(path).ok();
  }
  EXPECT_EQ(files[0], files[1]);
  EXPECT_NE(files[0], files[2]);
}

TEST(RandomModel, WeightsHaveTheDeviationOfATrainedLayer) {
  const std::string path = temporary_path("deviation.gguf");
  for (const char* type : {"Q4_0", "Q6_K", "BF16"}) {
    ASSERT_TRUE(write({small("r1-distill-llama-8b"), type}, path).ok());
    auto source = ModelSource::open(Env::real(), path);
    const FileTensor* t = source->find("blk.1.ffn_up.weight");
    ASSERT_NE(t, nullptr);
    std::vector<float> numbers(static_cast<size_t>(t->rows() * t->columns()));
    t->format->decode(t->data.data(), static_cast<int64_t>(numbers.size()), numbers.data());
    double sum = 0, squares = 0;
    for (float v : numbers) {
      sum += v;
      squares += double{v} * v;
    }
    const auto n = static_cast<double>(numbers.size()), expected = 1 / std::sqrt(512.0);
    EXPECT_NEAR(std::sqrt(squares / n), expected, 0.05 * expected) << type;
    EXPECT_NEAR(sum / n, 0, 0.02 * expected) << type;
  }
  (void)Env::real().remove(path).ok();
}

TEST(RandomModel, ItsTokenizerReadsAnyText) {
  const std::string path = temporary_path("tokenizer.gguf");
  ASSERT_TRUE(write({small("deepseek-v3"), "Q4_0"}, path).ok());
  auto source = ModelSource::open(Env::real(), path);
  ASSERT_TRUE(source->tokenizer.has_value());
  auto tokenizer = Tokenizer::create(*source->tokenizer);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const std::string text = "the tea \xE4\xBD\xA0\n";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  (void)Env::real().remove(path).ok();
}

TEST(RandomModel, NothingIsLeftOfAFileThatWasNotFinished) {
  const std::string path = temporary_path("stopped.gguf");
  ASSERT_TRUE(write_file(Env::real(), path, "what was there before").ok());
  ThreadPool pool(1);
  const Status stopped = write_random_model(Env::real(), pool, {small("deepseek-v2"), "Q8_0"}, path,
                                            [](uint64_t done, uint64_t total) { return done < total / 2; });
  EXPECT_EQ(stopped.code(), Code::cancelled);
  EXPECT_EQ(*Env::real().read(path), "what was there before");
  EXPECT_FALSE(Env::real().exists(path + ".partial"));
  (void)Env::real().remove(path).ok();
  EXPECT_FALSE(write({small("deepseek-v2"), "Q8_0"}, temporary_path("no/such/folder/x.gguf")).ok());
}

TEST(RandomModel, WhatIsNotThereIsNamedWithWhatIs) {
  EXPECT_NE(find_model_shape("gpt-5").status().message().find("deepseek-v2-lite"), std::string::npos);
  EXPECT_EQ(find_model_shape("deepseek-r1")->name, "deepseek-v3");
  EXPECT_EQ(find_model_shape("deepseek-coder-v2-lite")->name, "deepseek-v2-lite");
  const Status type = write({small("deepseek-v2"), "Q9"}, temporary_path("never.gguf"));
  EXPECT_EQ(type.code(), Code::invalid_argument);
  EXPECT_NE(type.message().find("Q4_K_M"), std::string::npos);
}

TEST(RandomModel, FewerLayersKeepTheProportionOfDenseOnes) {
  const ModelShape v3 = *find_model_shape("deepseek-v3");
  EXPECT_EQ(with_layers(v3, 61).dense_layers, 3);
  EXPECT_EQ(with_layers(v3, 40).dense_layers, 2);
  EXPECT_EQ(with_layers(v3, 4).dense_layers, 1);
  EXPECT_EQ(with_layers(*find_model_shape("llama-1.1b"), 5).dense_layers, 0);
}

}  // namespace
}  // namespace landfall
