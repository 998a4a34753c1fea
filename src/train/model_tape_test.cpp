// Whole tiny models under the tape: the gradient of a scalar of the logits with respect to every weight, against
// central differences through the references in double.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "model/testing.h"
#include "tensor/testing.h"
#include "train/tape.h"

namespace landfall {
namespace {

constexpr Device kInDouble{KernelSet::reference, true};

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double out = 0;
  for (size_t i = 0; i < a.size(); ++i) out += a[i] * b[i];
  return out;
}

class ModelTape : public testing::TestWithParam<std::string> {
 protected:
  ModelTape() : golden_(read_golden(GetParam())), loaded_(load_for_test(write_golden_model(golden_, Json()))) {}

  // Two packed documents of seven and five tokens; the logits of four rows count.
  Batch batch() const { return {std::span(golden_.tokens).first(12), kPositions, kRuns, kWanted}; }
  const Model& model() const { return loaded_.model; }

  static std::vector<double> coefficients(const Tensor& logits) { return fixed_numbers<double>(logits.elements(), 17); }

  double scalar() {
    Arena arena;
    RunReader reader;
    const Batch b = batch();
    Ctx ctx = make_ctx(reader, kInDouble, pool_, arena, b, nullptr);
    const Tensor logits = forward(ctx, model());
    return dot(load_doubles(logits), coefficients(logits));
  }

  // The gradient of every weight, in order of weights(); empty where nothing reached.
  std::vector<std::vector<double>> gradients(Device device) { return gradients(device, pool_); }
  std::vector<std::vector<double>> gradients(Device device, ThreadPool& pool) {
    Tape tape;
    Arena arena;
    const Batch b = batch();
    Ctx ctx = make_ctx(tape, device, pool, arena, b, nullptr);
    const Tensor logits = forward(ctx, model());
    tape.backward(ctx, {{seed(arena, logits)}});
    return weight_gradients(tape);
  }

  std::vector<std::vector<double>> weight_gradients(const Tape& tape) const {
    std::vector<std::vector<double>> out;
    for (const Weight& w : model().weights()) {
      const Tensor g = tape.weight_gradient(w.id);
      out.push_back(g.buffer ? load_doubles(g) : std::vector<double>{});
    }
    return out;
  }

  static Tape::Seed seed(Arena& arena, const Tensor& logits) {
    Tensor gradient = Tensor::of(DType::f64, {logits.rows(), logits.last()});
    arena.place(gradient);
    store_doubles(gradient, coefficients(logits));
    return {logits, gradient};
  }

  static std::vector<double> numbers(const Weight& w) {
    std::vector<float> out(static_cast<size_t>(w.elements()));
    for (int64_t e = 0; e < w.experts; ++e) unpack_rows(w, e, 0, w.out, out.data() + e * w.out * w.in);
    return {out.begin(), out.end()};
  }

  // Weights never change but here, where the test moves one and puts it back.
  static void overwrite(const Weight& w, const std::vector<double>& values) {
    const std::vector<float> floats(values.begin(), values.end());
    if (w.out == 1) {
      std::memcpy(w.buffer->host() + w.offset, floats.data(), floats.size() * 4);
      return;
    }
    for (int64_t e = 0; e < w.experts; ++e) {
      for (int64_t p = 0; p < w.panels(); ++p) {
        const std::byte* rows[kPanelRows] = {};
        for (int64_t r = 0; r < kPanelRows && p * kPanelRows + r < w.out; ++r) {
          rows[r] = reinterpret_cast<const std::byte*>(floats.data() + (e * w.out + p * kPanelRows + r) * w.in);
        }
        pack_panel(w, e, p, rows);
      }
    }
  }

  static constexpr int32_t kPositions[12] = {0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4};
  static constexpr landfall::Run kRuns[2] = {{0, 7, 0, 0, true}, {7, 5, 0, 1, true}};
  static constexpr int32_t kWanted[4] = {6, 2, 11, 9};
  Golden golden_;
  LoadedModel loaded_;
  ThreadPool pool_{2};
};

TEST_P(ModelTape, GradientOfEveryWeightEqualsCentralDifferences) {
  const std::vector<std::vector<double>> all = gradients(kInDouble);
  double worst = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const Weight& w = model().weights()[i];
    SCOPED_TRACE(w.name);
    ASSERT_EQ(w.format, format_by_name("F32"));
    const std::vector<double> kept = numbers(w),
                              direction = fixed_numbers<double>(w.elements(), static_cast<uint32_t>(i));
    ASSERT_EQ(all[i].size(), kept.size());
    // Along a random direction, with the steps that the floats really took.
    std::vector<double> sides[2] = {kept, kept}, step = kept;
    double value[2];
    for (int side : {0, 1}) {
      for (size_t k = 0; k < kept.size(); ++k) {
        sides[side][k] = static_cast<float>(kept[k] + (side ? 0x1p-16 : -0x1p-16) * direction[k]);
      }
      overwrite(w, sides[side]);
      value[side] = scalar();
    }
    overwrite(w, kept);
    for (size_t k = 0; k < kept.size(); ++k) step[k] = sides[1][k] - sides[0][k];
    // Relative to what a random direction typically sees of the gradient.
    const double typical = std::sqrt(dot(all[i], all[i]) * dot(step, step) / static_cast<double>(step.size()));
    const double error = std::abs(value[1] - value[0] - dot(all[i], step));
    if (w.name.find("exp_probs_b") != std::string::npos || w.name.find("e_score") != std::string::npos) {
      EXPECT_EQ(typical, 0) << "the choice is held fixed";
      EXPECT_EQ(value[1], value[0]);
      continue;
    }
    EXPECT_GT(typical, 0) << "no gradient";
    EXPECT_LE(error, 1e-6 * typical);
    worst = std::max(worst, error / typical);
  }
  std::printf("%-12s %zu weights, worst gradient error %.1e\n", GetParam().c_str(), all.size(), worst);
}

TEST_P(ModelTape, KernelsGiveTheGradientsOfTheReference) {
  const std::vector<std::vector<double>> expected = gradients(kInDouble);
  for (KernelSet set : available_kernel_sets()) {
    const std::vector<std::vector<double>> got = gradients({set, true});
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_LE(relative_error(got[i], expected[i]), 1e-4) << name(set) << ", " << model().weights()[i].name;
    }
  }
}

TEST_P(ModelTape, GradientsDoNotDependOnThreads) {
  const Device device{available_kernel_sets().back(), true};
  const std::vector<std::vector<double>> expected = gradients(device);
  for (int threads : {1, 3}) {
    ThreadPool pool(threads);
    EXPECT_EQ(gradients(device, pool), expected) << threads;
  }
}

// The driver of activation checkpointing: forward without recording, keeping only the states between layers; then each
// layer once more, from the last to the first.
TEST_P(ModelTape, LayersCalledAgainGiveTheSameGradients) {
  const Device device{available_kernel_sets().back(), true};
  const Architecture& a = model().architecture();
  const int64_t layers = model().config().layers;
  Arena arena;
  const Batch b = batch();
  RunReader run;
  Ctx forward_ctx = make_ctx(run, device, pool_, arena, b, nullptr);
  std::vector<Tensor> states = {a.embed(forward_ctx, model())};
  for (int64_t i = 0; i < layers; ++i) states.push_back(a.layer(forward_ctx, model(), i, states.back()));

  Tape tape;
  Ctx ctx = make_ctx(tape, device, pool_, arena, b, nullptr);
  // Calls one part again from its state and hands back the gradient of that state.
  auto again = [&](Tensor state, auto&& part, auto&& seed_of) {
    tape.watch(state);
    const Tape::Seed seed = seed_of(part(state));
    tape.backward(ctx, {&seed, 1});
    Tensor out = Tensor::of(DType::f32, {state.rows(), state.last()});
    arena.place(out);
    store_doubles(out, load_doubles(tape.gradient(state)));
    tape.forget();
    return out;
  };
  Tensor gradient = again(
      states.back(), [&](const Tensor& s) { return a.head(ctx, model(), a.norm(ctx, model(), s)); },
      [&](const Tensor& logits) { return seed(arena, logits); });
  for (int64_t i = layers - 1; i >= 0; --i) {
    gradient = again(
        states[static_cast<size_t>(i)], [&](const Tensor& s) { return a.layer(ctx, model(), i, s); },
        [&](const Tensor& out) {
          return Tape::Seed{out, gradient};
        });
  }
  const Tape::Seed first{a.embed(ctx, model()), gradient};
  tape.backward(ctx, {&first, 1});
  EXPECT_EQ(weight_gradients(tape), gradients(device));
}

INSTANTIATE_TEST_SUITE_P(Tiny, ModelTape, testing::Values("llama_llama3", "deepseek_v3"), variant_name);

}  // namespace
}  // namespace landfall
