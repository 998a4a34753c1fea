// A profiled step does what the engine would do: the count reading of both agrees, and every operator is there.
#include "runtime/step_profile.h"

#include <gtest/gtest.h>

#include "base/testing.h"
#include "model/random_model.h"

namespace landfall {
namespace {

Model small_model() {
  ModelShape shape = with_layers(*find_model_shape("deepseek-v2-lite"), 2);
  shape.width = 256;
  shape.heads = 2;
  shape.ffn = 512;
  shape.vocab = 1100;
  shape.experts = 8;
  shape.expert_ffn = 64;
  const std::string path = temporary_path("step_profile.gguf");
  ThreadPool pool(2);
  EXPECT_TRUE(write_random_model(Env::real(), pool, {shape, "Q8_0"}, path, nullptr).ok());
  auto source = ModelSource::open(Env::real(), path);
  auto model = describe_model(*source);
  EXPECT_TRUE(model.ok()) << model.status().message();
  EXPECT_TRUE(load_weights(*source, pool, nullptr, *model).ok());
  (void)Env::real().remove(path).ok();
  return std::move(*model);
}

EngineOptions options() {
  EngineOptions out;
  out.threads = 2;
  out.batch = 64;
  out.device.kernels = available_kernel_sets().back();
  return out;
}

TEST(StepProfile, CountsAsTheEngineDoes) {
  const Model model = small_model();
  for (const auto& [rows, past, expanded] : {std::tuple(1, 100, false), std::tuple(48, 0, true)}) {
    const Cost engine = count_step(model, rows, past, expanded, CacheType::bf16);
    const Cost step = count_step(model, options(), {rows, past, 1, expanded});
    EXPECT_EQ(step.operations, engine.operations);
    EXPECT_EQ(step.weight_bytes, engine.weight_bytes);
    EXPECT_EQ(step.cache_bytes, engine.cache_bytes);
  }
}

TEST(StepProfile, TheEventsAddUpToTheCount) {
  const Model model = small_model();
  for (const StepShape shape : {StepShape{1, 200, 3, false}, StepShape{150, 0, 1, true}}) {
    const auto events = profile_step(Env::real(), model, options(), shape, 2);
    Cost sum;
    int32_t layers = -1;
    for (const auto& event : events) {
      sum.operations += event.cost.operations;
      sum.cache_bytes += event.cost.cache_bytes;
      layers = std::max(layers, event.layer);
      EXPECT_GE(event.seconds, 0);
    }
    const Cost count = count_step(model, options(), shape);
    EXPECT_DOUBLE_EQ(sum.operations, count.operations);
    EXPECT_DOUBLE_EQ(sum.cache_bytes, count.cache_bytes);
    EXPECT_EQ(layers, 1);
    EXPECT_EQ(events.back().op->name, "logits");
    EXPECT_EQ(events.back().layer, -1);
  }
}

}  // namespace
}  // namespace landfall
