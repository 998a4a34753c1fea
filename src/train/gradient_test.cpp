// Gradients in f32 against those in double, at odd and larger shapes than the operators' own cases: sums over more than
// one block, several tiles, runs, heads that share keys, strided inputs, weights of every kind of format.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "train/testing.h"

namespace landfall {
namespace {

constexpr uint64_t kSeed = 11;

// Every term of a sum is rounded to 2^-24 of its size; in sums of n terms of both signs these add up to about sqrt(n)
// such errors, below 2e-6 of the result for the shapes here. Angles of rope() are floats: position 256 times 2^-25.
constexpr double kTolerance = 1e-5;

std::vector<Run> runs_of(const std::vector<int32_t>& counts) {
  std::vector<Run> out;
  int32_t first = 0;
  for (int32_t count : counts) {
    out.push_back({first, count, 0, static_cast<int32_t>(out.size()), true});
    first += count;
  }
  return out;
}

int64_t rows_of(const std::vector<int32_t>& counts) {
  int64_t out = 0;
  for (int32_t count : counts) out += count;
  return out;
}

using Body = std::function<std::vector<Tensor>(Ctx&, OpInputs&)>;

OpCase make_case(std::string name, const std::vector<int32_t>& counts, Body body) {
  return {.name = std::move(name), .runs = runs_of(counts), .run = std::move(body)};
}

void add_products(std::vector<OpCase>& out) {
  for (int32_t rows : {1, 7, 130, 257}) {
    for (const char* format : {"F32", "BF16", "F8_E4M3", "Q8_0", "Q4_K"}) {
      out.push_back(make_case("linear, " + std::to_string(rows) + " rows, " + format, {rows},
                              [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                                const bool odd = std::string_view(format) == "F32";
                                const Tensor x = in.tensor(ctx, {rows, odd ? 301 : 512});
                                const Weight& w = in.weight(format, 1, odd ? 275 : 300, x.last());
                                return {linear(ctx, x, w, &in.vector(w.out, -1, 1))};
                              }));
    }
  }
  out.push_back(make_case("linear, one output", {130}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = in.tensor(ctx, {130, 70});
    return {linear(ctx, x, in.weight("F32", 1, 1, 70))};
  }));
  out.push_back(make_case("linear, strided input", {130}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = slice(ctx, in.tensor(ctx, {130, 100}), 13, 70);
    return {linear(ctx, x, in.weight("F32", 1, 45, 70))};
  }));
  for (bool transposed : {false, true}) {
    for (bool shared : {false, true}) {
      for (const char* format : {"F32", "Q4_0"}) {
        out.push_back(make_case(
            std::string("head_linear, ") + format + (transposed ? ", transposed" : "") + (shared ? ", shared" : ""),
            {130}, [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
              const int64_t width = transposed ? 41 : 320;
              const Tensor x = shared ? in.tensor(ctx, {130, width}) : in.tensor(ctx, {130, 3, width});
              return {head_linear(ctx, x, in.weight(format, 3, 41, 320), transposed)};
            }));
      }
    }
  }
  for (bool shared : {false, true}) {
    for (const char* format : {"F32", "Q8_0"}) {
      out.push_back(make_case(std::string("expert_linear, ") + format + (shared ? ", shared" : ""), {130},
                              [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                                const Tensor x = shared ? in.tensor(ctx, {130, 96}) : in.tensor(ctx, {130, 3, 96});
                                const Tensor ids = in.ids(ctx, {130, 3}, 7);
                                return {expert_linear(ctx, x, ids, in.weight(format, 9, 35, 96))};
                              }));
    }
  }
  out.push_back(make_case("logits, rows that repeat", {257}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = in.tensor(ctx, {257, 70}), rows = in.ids(ctx, {130}, 257);
    return {logits(ctx, x, rows, in.weight("F32", 1, 301, 70))};
  }));
  out.push_back(make_case("embedding, ids that repeat", {257}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor ids = in.ids(ctx, {257}, 40);
    return {embedding(ctx, ids, in.weight("F32", 1, 50, 133))};
  }));
}

void add_attention(std::vector<OpCase>& out) {
  struct Shape {
    std::vector<int32_t> counts;
    int64_t heads, groups, d, dv;
  };
  for (const Shape& s : {Shape{{1}, 2, 1, 16, 16}, Shape{{130}, 4, 2, 24, 20}, Shape{{257}, 6, 3, 32, 16},
                         Shape{{1, 7, 130, 65}, 3, 1, 13, 9}, Shape{{64, 257, 128}, 2, 2, 64, 64}}) {
    std::string name = "attention";
    for (int32_t count : s.counts) name += ", " + std::to_string(count);
    const int64_t rows = rows_of(s.counts);
    out.push_back(make_case(name, s.counts, [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
      const Tensor q = in.tensor(ctx, {rows, s.heads, s.d}, -2, 2), k = in.tensor(ctx, {rows, s.groups, s.d}, -2, 2);
      return {attention(ctx, q, k, in.tensor(ctx, {rows, s.groups, s.dv}), 0.3f, 0)};
    }));
  }
  for (bool absorb : {false, true}) {
    out.push_back(make_case(std::string("latent attention, ") + (absorb ? "key as absorbed" : "key as projected"),
                            {7, 130}, [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
                              const Tensor q = in.tensor(ctx, {137, 3, 24}, -2, 2), latent = in.tensor(ctx, {137, 40});
                              const Tensor key_rope = in.tensor(ctx, {137, 8});
                              const Weight& key = absorb ? in.weight("F32", 3, 40, 16) : in.weight("F32", 3, 16, 40);
                              const Weight& value = in.weight("F32", 3, 20, 40);
                              return {latent_attention(ctx, q, latent, key_rope, absorb ? nullptr : &key,
                                                       absorb ? &key : nullptr, value, 0.2f, 0)};
                            }));
  }
}

void add_rows_of_numbers(std::vector<OpCase>& out) {
  for (int64_t n : {1, 37, 130}) {
    out.push_back(
        make_case("rms_norm, " + std::to_string(n), {130}, [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
          const Tensor x = in.tensor(ctx, {130, 3, n});
          return {rms_norm(ctx, x, in.vector(n, 0.5, 1.5), 1e-6f)};
        }));
  }
  out.push_back(make_case("rms_norm, strided", {257}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = slice(ctx, in.tensor(ctx, {257, 3, 50}), 9, 33);
    return {rms_norm(ctx, x, in.vector(33, 0.5, 1.5), 1e-6f)};
  }));
  for (bool interleaved : {false, true}) {
    out.push_back(make_case(
        interleaved ? "rope, interleaved" : "rope", {257, 7}, [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
          const RopeSpec spec{3, 10, interleaved, 1.25f, in.constants({1.0f, 0.5f, 0.1f, 0.02f, 0.001f})};
          return {rope(ctx, in.tensor(ctx, {264, 3, 17}), ctx.positions, spec)};
        }));
  }
  out.push_back(make_case("swiglu", {257}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor gate = in.tensor(ctx, {257, 45}, -9, 9);
    return {swiglu(ctx, gate, in.tensor(ctx, {257, 45}))};
  }));
  out.push_back(make_case("swiglu of one tensor", {7}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = in.tensor(ctx, {7, 45}, -9, 9);
    return {swiglu(ctx, x, x)};
  }));
  out.push_back(make_case("softmax", {130}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    return {softmax(ctx, in.tensor(ctx, {130, 257}, -5, 5))};
  }));
  using Gate = RouterSpec::Gate;
  for (const RouterSpec& spec :
       {RouterSpec{Gate::softmax, 3, 1, 1, true, 1.0f}, RouterSpec{Gate::softmax, 3, 4, 2, false, 16.0f},
        RouterSpec{Gate::sigmoid, 4, 4, 2, true, 2.5f}}) {
    out.push_back(make_case("router", {257}, [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
      return {router(ctx, in.tensor(ctx, {257, 24}, -3, 3), nullptr, spec).weights};
    }));
  }
  for (const Gate gate : {Gate::softmax, Gate::sigmoid}) {
    out.push_back(make_case("balance_loss", {7, 1, 130}, [=](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
      const Tensor scores = in.tensor(ctx, {138, 24}, -3, 3);
      return {balance_loss(ctx, scores, in.ids(ctx, {138, 4}, 24), gate)};
    }));
  }
  out.push_back(make_case("kl_divergence", {257}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = in.tensor(ctx, {257, 70}, -6, 6);
    return {kl_divergence(ctx, x, in.tensor(ctx, {257, 70}, -6, 6), 2.5)};
  }));
  out.push_back(make_case("combine", {257}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = in.tensor(ctx, {257, 3, 45});
    return {combine(ctx, x, in.tensor(ctx, {257, 3}))};
  }));
  out.push_back(make_case("views and sums", {130}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = in.tensor(ctx, {130, 3, 25}), y = in.tensor(ctx, {130, 7});
    const Tensor joined = concat(ctx, slice(ctx, x, 4, 13), y);  // [130, 3, 20], y for each head
    const Tensor flat = reshape(ctx, concat(ctx, joined, joined), {130, 120});
    return {add(ctx, flat, add(ctx, flat, flat))};
  }));
}

void add_blocks(std::vector<OpCase>& out) {
  out.push_back(make_case("feed_forward", {130}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = in.tensor(ctx, {130, 45});
    const Weight &gate = in.weight("F32", 1, 77, 45), &up = in.weight("F32", 1, 77, 45);
    return {feed_forward(ctx, x, {&gate, &up, &in.weight("F32", 1, 45, 77)})};
  }));
  out.push_back(make_case("experts", {130}, [](Ctx& ctx, OpInputs& in) -> std::vector<Tensor> {
    const Tensor x = in.tensor(ctx, {130, 45});
    const Routing routing{in.ids(ctx, {130, 2}, 6), in.tensor(ctx, {130, 2}, 0, 1)};
    auto block = [&](int64_t experts, int64_t middle) {
      const Weight &gate = in.weight("F32", experts, middle, 45), &up = in.weight("F32", experts, middle, 45);
      return FeedForward{&gate, &up, &in.weight("F32", experts, 45, middle)};
    };
    const FeedForward weights = block(6, 33);
    return {experts(ctx, x, routing, weights, block(1, 50))};
  }));
}

std::vector<OpCase> larger_cases() {
  std::vector<OpCase> out;
  add_products(out);
  add_attention(out);
  add_rows_of_numbers(out);
  add_blocks(out);
  return out;
}

TEST(Gradients, InFloatEqualThoseInDouble) {
  double worst = 0;
  for (const OpCase& c : larger_cases()) {
    OpInputs inputs(kSeed);
    const auto expected = tape_gradients(c, kInDouble, inputs);
    for (KernelSet set : available_kernel_sets()) {
      SCOPED_TRACE(c.name + ", " + std::string(name(set)));
      const auto got = tape_gradients(c, {set, true}, inputs, 2);
      ASSERT_EQ(got.size(), expected.size());
      for (size_t i = 0; i < got.size(); ++i) {
        const double error = relative_error(got[i], expected[i]);
        EXPECT_LE(error, kTolerance) << "input " << i;
        worst = std::max(worst, error);
      }
    }
  }
  std::printf("worst gradient error %.1e\n", worst);
}

TEST(Gradients, DoNotDependOnThreads) {
  const Device device{available_kernel_sets().back(), true};
  for (const OpCase& c : larger_cases()) {
    SCOPED_TRACE(c.name);
    OpInputs inputs(kSeed);
    const auto alone = tape_gradients(c, device, inputs, 1);
    for (int threads : {2, 3}) EXPECT_EQ(tape_gradients(c, device, inputs, threads), alone) << threads;
  }
}

}  // namespace
}  // namespace landfall
