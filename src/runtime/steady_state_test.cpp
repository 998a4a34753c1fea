// A step like the one before it takes no memory from the heap: allocations of the whole program are counted.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "model/testing.h"
#include "runtime/scheduler.h"

// Sanitizers bring operators of their own. Not inlined, or the compiler sees malloc and delete as a pair that is wrong.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LANDFALL_SANITIZED
#endif
#endif
#if !defined(LANDFALL_SANITIZED) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {
std::atomic<int64_t> g_allocations{0};
}

[[gnu::noinline]] void* operator new(size_t size) {
  ++g_allocations;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace landfall {
namespace {

std::unique_ptr<Engine> engine_of(const std::string& path) {
  LoadedModel loaded = load_for_test(path);
  EngineOptions options;
  options.threads = 2;
  options.device.kernels = available_kernel_sets().back();
  options.context = 256;
  options.cache_positions = 1024;
  auto engine = Engine::create(std::make_shared<const Model>(std::move(loaded.model)), options);
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  return std::move(*engine);
}

class SteadyState : public testing::TestWithParam<std::string> {};

TEST_P(SteadyState, AStepTakesNoMemoryFromTheHeap) {
  const Golden golden = read_golden(GetParam());
  const auto engine = engine_of(write_golden_model(golden, Json()));
  std::vector<Engine::Work> work;
  std::vector<int32_t> next(3);
  while (work.size() < next.size()) work.push_back({engine->open(0).value(), golden.tokens, 1});
  for (const Engine::Work& prompt : work) ASSERT_TRUE(engine->step({&prompt, 1}).ok());
  for (size_t i = 0; i < work.size(); ++i) work[i].tokens = {&next[i], 1};
  auto step = [&] {
    const auto logits = engine->step(work);
    ASSERT_TRUE(logits.ok()) << logits.status().message();
    for (size_t i = 0; i < next.size(); ++i) {
      const auto row = logits->row(static_cast<int64_t>(i));
      next[i] = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
    }
  };
  for (int i = 0; i < 8; ++i) step();
  const int64_t before = g_allocations;
  for (int i = 0; i < 30; ++i) step();  // within one page
  EXPECT_EQ(g_allocations - before, 0) << "in 30 steps";
}

class SteadyScheduler : public testing::TestWithParam<const char*> {};

TEST_P(SteadyScheduler, AStepTakesNoMemoryFromTheHeap) {
  const auto engine = engine_of(write_small_model("deepseek-v2-lite", GetParam()));
  Scheduler scheduler(Env::real(), *engine, {});
  int64_t drawn = 0;
  for (int32_t i = 0; i < 3; ++i) {
    Scheduler::Request request;
    request.prompt.assign(20, i);
    request.sampler = {.temperature = 0.8f, .top_p = 0.9f, .seed = 3};
    request.limit = 120;
    request.on_token = [&](int32_t) { return ++drawn > 0; };
    request.on_done = [](const Status&, FinishReason, const Usage&) {};
    scheduler.submit(std::move(request));
  }
  while (drawn < 24) scheduler.step();
  const int64_t before = g_allocations, drawn_before = drawn;
  for (int i = 0; i < 30; ++i) scheduler.step();  // within one page
  EXPECT_EQ(g_allocations - before, 0) << "in 30 steps";
  EXPECT_EQ(drawn - drawn_before, 90);
}

INSTANTIATE_TEST_SUITE_P(Formats, SteadyScheduler, testing::Values("Q4_0", "Q4_K_M", "BF16"));
INSTANTIATE_TEST_SUITE_P(Variants, SteadyState, testing::ValuesIn(golden_variants()), variant_name);

}  // namespace
}  // namespace landfall
#endif
