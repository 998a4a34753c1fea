// Runs kernels for script/bench --check, which compares them with a baseline: alone, for counting their instructions
// under callgrind, or in turn with a loop that never changes, for times on a machine whose speed moves.
//
//   kernel_guard run SET     each case once inside landfall_guard_region(); prints the names in order
//   kernel_guard time SET    each case: its time over that of a frozen loop that multiplies, median of 31 turns; a line
//                            of JSON
//   kernel_guard memory SET  the same of weights that lie in memory, over that of a loop that reads
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor/op_inputs.h"
#include "tensor/ops.h"
#include "tensor/probe.h"
#include "tensor/testing.h"

using namespace landfall;

namespace {

using Call = std::function<void()>;

struct Case {
  std::string name;
  std::vector<Run> runs;
  std::vector<int32_t> cache_widths;  // empty: no cache
  std::function<Call(Ctx&, OpInputs&)> make;
};

// Sizes are small enough for callgrind, where an instruction costs fifty, and larger for times; there too everything
// stays in the core's own cache, because what lies further out is shared with other programs.
std::vector<Case> cases(bool timed) {
  const int64_t out = timed ? 128 : 64, in = timed ? 1024 : 256;
  std::vector<Case> all;
  for (const char* format : {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
                             "IQ4_XS", "MXFP4", "F8_E4M3", "BF16", "F16", "F32"}) {
    for (int32_t rows : {1, 8, 48}) {
      all.push_back({std::string("linear ") + format + " x" + std::to_string(rows),
                     {{0, rows, 0, 0, false}},
                     {},
                     [=](Ctx& ctx, OpInputs& inputs) -> Call {
                       const Tensor x = inputs.tensor(ctx, {rows, in});
                       const Weight& w = inputs.weight(format, 1, out, in);
                       return [&ctx, x, &w] { (void)linear(ctx, x, w); };
                     }});
    }
  }
  for (int32_t rows : {1, 32}) {
    const std::vector<Run> behind = {{0, rows, timed ? 400 : 130, 0, false}},
                           expanded = {{0, rows, timed ? 400 : 130, 0, true}};
    const std::string suffix = " x" + std::to_string(rows);
    all.push_back({"attention" + suffix, behind, {256, 256}, [=](Ctx& ctx, OpInputs& inputs) -> Call {
                     const Tensor q = inputs.tensor(ctx, {rows, 8, 128}), k = inputs.tensor(ctx, {rows, 2, 128}),
                                  v = inputs.tensor(ctx, {rows, 2, 128});
                     return [&ctx, q, k, v] { (void)attention(ctx, q, k, v, 0.1f, 0); };
                   }});
    for (const auto& [name, runs] : {std::pair("latent_attention", behind), {"latent_attention expanded", expanded}}) {
      all.push_back({name + suffix, runs, {320}, [=](Ctx& ctx, OpInputs& inputs) -> Call {
                       const Tensor q = inputs.tensor(ctx, {rows, 4, 128}), latent = inputs.tensor(ctx, {rows, 256}),
                                    rope = inputs.tensor(ctx, {rows, 64});
                       const Weight &key = inputs.weight("Q8_0", 4, 256, 64),
                                    &value = inputs.weight("Q8_0", 4, 64, 256);
                       return [&ctx, q, latent, rope, &key, &value] {
                         (void)latent_attention(ctx, q, latent, rope, nullptr, &key, value, 0.1f, 0);
                       };
                     }});
    }
    all.push_back({"experts" + suffix, {{0, rows, 0, 0, false}}, {}, [=](Ctx& ctx, OpInputs& inputs) -> Call {
                     const Tensor x = inputs.tensor(ctx, {rows, in}), scores = inputs.tensor(ctx, {rows, 4});
                     const Weight &gate = inputs.weight("Q4_0", 4, out, in), &up = inputs.weight("Q4_0", 4, out, in),
                                  &down = inputs.weight("Q4_0", 4, in, out);
                     const Routing routing = router(ctx, scores, nullptr, {.experts_per_row = 2});
                     return [&ctx, x, routing, &gate, &up, &down] {
                       (void)experts(ctx, x, routing, {&gate, &up, &down});
                     };
                   }});
    all.push_back({"feed_forward" + suffix, {{0, rows, 0, 0, false}}, {}, [=](Ctx& ctx, OpInputs& inputs) -> Call {
                     const Tensor x = inputs.tensor(ctx, {rows, in});
                     const Weight &gate = inputs.weight("Q4_0", 1, out, in), &up = inputs.weight("Q4_0", 1, out, in),
                                  &down = inputs.weight("Q4_0", 1, in, out);
                     return [&ctx, x, &gate, &up, &down] { (void)feed_forward(ctx, x, {&gate, &up, &down}); };
                   }});
    all.push_back({"logits" + suffix, {{0, rows, 0, 0, false}}, {}, [=](Ctx& ctx, OpInputs& inputs) -> Call {
                     const Tensor x = inputs.tensor(ctx, {rows, in}), wanted = inputs.ids(ctx, {rows}, rows);
                     const Weight& w = inputs.weight("Q6_K", 1, 4 * out, in);
                     return [&ctx, x, wanted, &w] { (void)logits(ctx, x, wanted, w); };
                   }});
    all.push_back({"router" + suffix, {{0, rows, 0, 0, false}}, {}, [=](Ctx& ctx, OpInputs& inputs) -> Call {
                     const Tensor scores = inputs.tensor(ctx, {rows, 64});
                     return [&ctx, scores] { (void)router(ctx, scores, nullptr, {.experts_per_row = 6}); };
                   }});
    all.push_back({"rms_norm" + suffix, {{0, rows, 0, 0, false}}, {}, [=](Ctx& ctx, OpInputs& inputs) -> Call {
                     const Tensor x = inputs.tensor(ctx, {rows, in});
                     const Weight& w = inputs.vector(in, 0.5, 1.5);
                     return [&ctx, x, &w] { (void)rms_norm(ctx, x, w, 1e-6f); };
                   }});
  }
  return all;
}

// One row by weights that no cache holds: copies of a matrix, one after another.
constexpr int64_t kFarBytes = int64_t{256} << 20;

std::vector<Case> far_cases() {
  std::vector<Case> all;
  const int64_t out = 2048, in = 2048;
  for (const std::string format : {"Q4_0", "Q4_K", "Q6_K", "BF16"}) {
    all.push_back(
        {"linear " + format + " x1 from memory", {{0, 1, 0, 0, false}}, {}, [=](Ctx& ctx, OpInputs& inputs) -> Call {
           const Tensor x = inputs.tensor(ctx, {1, in});
           const Weight& w = inputs.weight(format, 1, out, in);
           const int64_t size = weight_bytes(w);
           const std::shared_ptr<Buffer> memory = Buffer::allocate(static_cast<size_t>(kFarBytes));
           LANDFALL_CHECK(memory != nullptr);
           std::vector<Weight> copies;
           for (int64_t at = 0; at + size <= kFarBytes; at += (size + 63) / 64 * 64) {
             std::memcpy(memory->host() + at, w.buffer->host() + w.offset, static_cast<size_t>(size));
             copies.push_back(w);
             copies.back().buffer = memory.get();
             copies.back().offset = at;
           }
           return [&ctx, x, memory, copies = std::move(copies)] {
             for (const Weight& copy : copies) {
               const Arena::Mark mark = ctx.arena.mark();
               (void)linear(ctx, x, copy);
               ctx.arena.rewind(mark);
             }
           };
         }});
  }
  return all;
}

// Makes the case ready and hands the call to `use`, which may call it many times.
void with_case(const Case& c, KernelSet set, const std::function<void(const Call&)>& use) {
  const TestBatch batch(c.runs);
  ThreadPool pool(1);
  Arena arena;
  RunReader reader;
  OpInputs inputs(7);
  TestCache cache(CacheType::bf16, c.cache_widths, c.runs[0].past + c.runs[0].count);
  Ctx ctx = make_ctx(reader, {set, false}, pool, arena, batch.batch(), c.cache_widths.empty() ? nullptr : &cache);
  const Call call = c.make(ctx, inputs);
  use([&] {
    const Arena::Mark mark = arena.mark();
    call();
    arena.rewind(mark);
  });
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// Of the case over the frozen loop, both some milliseconds long.
double relative_time(const Call& call, const Call& frozen) {
  constexpr int kTurns = 31;
  Env& env = Env::real();
  auto seconds = [&](auto&& work) {
    const double start = env.seconds();
    work();
    return env.seconds() - start;
  };
  call();
  const double once = std::max(1e-7, std::min({seconds(call), seconds(call), seconds(call)}));
  const int times = std::max(1, static_cast<int>(1e-3 / once));
  std::vector<double> ratios;
  for (int turn = 0; turn < kTurns; ++turn) {
    const double before = seconds(frozen);
    const double taken = seconds([&] {
      for (int i = 0; i < times; ++i) call();
    });
    ratios.push_back(taken / times / (before + seconds(frozen)));
  }
  return median(ratios);
}

}  // namespace

// callgrind collects between entering and leaving this function, by its name.
extern "C" __attribute__((noinline)) void landfall_guard_region(const Call* call) {
  (*call)();
  asm volatile("" ::: "memory");
}

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "", wanted = argc > 2 ? argv[2] : "";
  for (KernelSet set : available_kernel_sets()) {
    if (name(set) != wanted || (mode != "run" && mode != "time" && mode != "memory")) continue;
    const PeakLoop loop = peak_loop(set, Activation::f32);
    if (mode != "run") loop.run(100'000'000);  // a third of a second at full load: the clock has settled
    ThreadPool alone(1);
    std::optional<BandwidthProbe> probe;
    if (mode == "memory") probe.emplace(alone, PageSize::huge);
    const Call frozen = [&] {
      if (probe) {
        (void)probe->measure(Env::real());
      } else {
        loop.run(300'000);
      }
    };
    for (const Case& c : mode == "memory" ? far_cases() : cases(mode == "time")) {
      with_case(c, set, [&](const Call& call) {
        call();  // whatever is done once only
        if (mode == "run") {
          landfall_guard_region(&call);
          std::printf("%s\n", c.name.c_str());
        } else {
          std::printf("{\"name\": \"%s\", \"ratio\": %.6g}\n", c.name.c_str(), relative_time(call, frozen));
        }
        std::fflush(stdout);
      });
    }
    return 0;
  }
  std::fprintf(stderr, "usage: kernel_guard run|time|memory SET, a set that this processor has\n");
  return 2;
}
