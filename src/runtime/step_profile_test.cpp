// A profiled step does what the engine would do: the count reading of both agrees, and every operator is there.
#include "runtime/step_profile.h"

#include <gtest/gtest.h>

#include "model/testing.h"

namespace landfall {
namespace {

Model small_model() { return load_for_test(write_small_model("deepseek-v2-lite", "Q8_0")).model; }

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
