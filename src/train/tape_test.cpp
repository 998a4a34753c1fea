// Gradients of every operator, unasked, against central differences through the references in double.
#include "train/tape.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "tensor/format.h"
#include "tensor/op_inputs.h"
#include "tensor/ops.h"
#include "tensor/testing.h"
#include "tensor/weight.h"
#include "train/testing.h"

namespace landfall {
namespace {

constexpr uint64_t kSeed = 5;
// d scalar / d values[at] by central differences of two widths, extrapolated to the fourth order.
double difference(const OpCase& c, OpInputs& inputs, OpInputs::Input& input, size_t at) {
  RunReader reader;
  const double kept = input.values[at];
  auto slope = [&](double h) {
    double value[2], place[2];
    for (int side : {0, 1}) {
      place[side] = input.values[at] = static_cast<float>(kept + (side ? h : -h));  // weights hold floats
      inputs.restart();
      value[side] = CaseRun(c, kInDouble, reader, inputs).scalar();
    }
    input.values[at] = kept;
    return (value[1] - value[0]) / (place[1] - place[0]);
  };
  return (4 * slope(0x1p-12) - slope(0x1p-11)) / 3;
}

TEST(Tape, GradientsOfEveryOperatorEqualCentralDifferences) {
  for (const Operator* op : ops_table()) {
    double worst = 0;
    int checked = 0;
    for (const OpCase& c : op->cases()) {
      if (!c.differentiable) continue;
      OpInputs inputs(kSeed);
      const std::vector<std::vector<double>> gradients = tape_gradients(c, kInDouble, inputs);
      for (size_t i = 0; i < gradients.size(); ++i) {
        if (gradients[i].empty()) continue;
        SCOPED_TRACE(std::string(op->name) + ", " + c.name + ", input " + std::to_string(i));
        OpInputs::Input& input = inputs.inputs()[i];
        ASSERT_EQ(gradients[i].size(), input.values.size());
        // At most about 150 numbers of an input, spread over it.
        std::vector<double> expected, got;
        const size_t step = 1 + input.values.size() / 150;
        for (size_t at = 0; at < input.values.size(); at += step) {
          expected.push_back(difference(c, inputs, input, at));
          got.push_back(gradients[i][at]);
        }
        const double error = relative_error(got, expected);
        EXPECT_LE(error, 1e-6);
        worst = std::max(worst, error);
        ++checked;
      }
    }
    EXPECT_GT(checked, 0) << op->name << " brings no case whose gradient can be checked";
    std::printf("%-18s %2d inputs, worst gradient error %.1e\n", std::string(op->name).c_str(), checked, worst);
  }
}

TEST(Tape, KernelsGiveTheGradientsOfTheReference) {
  for (const Operator* op : ops_table()) {
    for (const OpCase& c : op->cases()) {
      if (!c.differentiable) continue;
      OpInputs inputs(kSeed);
      const auto expected = tape_gradients(c, kInDouble, inputs);
      for (KernelSet set : available_kernel_sets()) {
        SCOPED_TRACE(std::string(op->name) + ", " + c.name + ", " + std::string(name(set)));
        const auto got = tape_gradients(c, {set, false}, inputs);
        ASSERT_EQ(got.size(), expected.size());
        for (size_t i = 0; i < got.size(); ++i) EXPECT_LE(relative_error(got[i], expected[i]), 1e-4) << "input " << i;
      }
    }
  }
}

TEST(Tape, ResultsAreThoseOfRunning) {
  for (const Operator* op : ops_table()) {
    if (!op->backward) continue;  // expanded, so that kernels of the fusion itself do not run
    for (const OpCase& c : op->cases()) {
      SCOPED_TRACE(std::string(op->name) + ", " + c.name);
      const Device device{available_kernel_sets().back(), false};
      OpInputs inputs(kSeed);
      Tape tape;
      RunReader reader;
      const CaseRun recorded(c, device, tape, inputs);
      std::vector<std::vector<double>> values;
      for (const Tensor& t : recorded.out) values.push_back(load_doubles(t));
      inputs.restart();
      const CaseRun plain(c, device, reader, inputs);
      for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], load_doubles(plain.out[i]));
    }
  }
}

// ---- graphs by hand

class TapeGraph : public testing::Test {
 protected:
  TapeGraph() { w_ = make_weight(7, "w", *format_by_name("F32"), 1, 2, 2, std::vector<float>{1, 2, 3, 4}); }
  Ctx ctx(Reader& reader, Device device = kInDouble) {
    return make_ctx(reader, device, pool_, arena_, batch_.batch(), nullptr);
  }
  Tensor tensor(std::initializer_list<int64_t> shape, const std::vector<double>& values) {
    Tensor t = Tensor::of(DType::f64, shape);
    arena_.place(t);
    store_doubles(t, values);
    return t;
  }
  using Numbers = std::vector<double>;
  TestBatch batch_{{landfall::Run{0, 1, 0, 0, true}}};
  ThreadPool pool_{1};
  Arena arena_;
  OwnedWeight w_;
};

TEST_F(TapeGraph, UsesOfATensorAddUp) {
  Tape tape;
  Ctx c = ctx(tape);
  Tensor x = tensor({1, 2}, {5, 7});
  tape.watch(x);
  const Tensor y = linear(c, x, w_.weight);             // [19, 43]
  const Tensor z = linear(c, add(c, y, y), w_.weight);  // 2 W W x
  EXPECT_EQ(load_doubles(z), (Numbers{210, 458}));
  const Tape::Seed seed{z, tensor({1, 2}, {1, 0})};
  tape.backward(c, {&seed, 1});
  EXPECT_EQ(load_doubles(tape.gradient(x)), (Numbers{14, 20}));  // 2 (WW)ᵀ e0 with WW = [7 10; 15 22]
  EXPECT_EQ(load_doubles(tape.gradient(y)), (Numbers{2, 4}));
  // Both uses of w: e0 (2y)ᵀ from the outer one, 2 (Wᵀ e0) xᵀ from the inner one.
  const Tensor g = tape.weight_gradient(7);
  EXPECT_EQ(g.shape_text(), "[1, 2, 2]");
  EXPECT_EQ(load_doubles(g), (Numbers{38 + 2 * 1 * 5, 86 + 2 * 1 * 7, 2 * 2 * 5, 2 * 2 * 7}));
  // Again: weights add up, tensors do not.
  tape.backward(c, {&seed, 1});
  EXPECT_EQ(load_doubles(tape.gradient(x)), (Numbers{14, 20}));
  EXPECT_EQ(load_doubles(tape.weight_gradient(7)), (Numbers{96, 200, 40, 56}));
  tape.zero_gradients();
  for (double v : load_doubles(tape.weight_gradient(7))) EXPECT_EQ(v, 0);
}

TEST_F(TapeGraph, SeveralSeedsAddUpAndOthersAreNotReached) {
  Tape tape;
  Ctx c = ctx(tape);
  Tensor x = tensor({1, 2}, {5, 7}), other = x;
  tape.watch(x);
  tape.watch(other);
  const Tensor a = add(c, x, x), b = slice(c, add(c, x, a), 1, 1), unused = add(c, other, other);
  const std::vector<Tape::Seed> seeds = {{a, tensor({1, 2}, {1, 10})}, {b, tensor({1, 1}, {100})}};
  tape.backward(c, seeds);
  EXPECT_EQ(load_doubles(tape.gradient(x)), (Numbers{2, 320}));
  EXPECT_EQ(tape.gradient(other).buffer, nullptr);
  EXPECT_EQ(tape.gradient(unused).buffer, nullptr);
  EXPECT_EQ(tape.weight_gradient(7).buffer, nullptr);
}

TEST_F(TapeGraph, OnlyWhatIsTrainableHasAGradient) {
  const OwnedWeight frozen = make_weight(8, "frozen", *format_by_name("F32"), 1, 2, 2, std::vector<float>{1, 0, 0, 1});
  Tape tape([](const Weight& w) { return w.id == 7; });
  Ctx c = ctx(tape);
  const Tensor x = tensor({1, 2}, {5, 7});
  const Tensor before = linear(c, x, frozen.weight);  // depends on nothing trainable: a constant
  EXPECT_EQ(before.node, 0);
  const Tensor y = linear(c, linear(c, before, w_.weight), frozen.weight);
  const Tape::Seed seed{y, tensor({1, 2}, {1, 1})};
  tape.backward(c, {&seed, 1});
  EXPECT_EQ(load_doubles(tape.weight_gradient(7)), (Numbers{5, 7, 5, 7}));
  EXPECT_EQ(tape.weight_gradient(8).buffer, nullptr);
}

// Two layers at once, and each again under a tape that forgot: the same gradients bit for bit.
TEST_F(TapeGraph, CheckpointedLayersGiveTheSameGradients) {
  for (const Device device : {kInDouble, Device{available_kernel_sets().back(), false}}) {
    auto layer = [&](Ctx& c, const Tensor& x) { return add(c, x, swiglu(c, linear(c, x, w_.weight), x)); };
    auto input = [&](const Numbers& values) {
      Tensor t = Tensor::of(device.kernels == KernelSet::reference ? DType::f64 : DType::f32, {1, 2});
      arena_.place(t);
      store_doubles(t, values);
      return t;
    };
    Tape whole;
    Ctx c = ctx(whole, device);
    Tensor x = input({0.5, -0.7});
    whole.watch(x);
    const Tensor state = layer(c, x);
    const Tensor y = layer(c, state);
    const Tape::Seed seed{y, input({1, 3})};
    whole.backward(c, {&seed, 1});

    Tape tape;
    Ctx segment = ctx(tape, device);
    Tensor second = input(load_doubles(state));
    tape.watch(second);
    const Tape::Seed last{layer(segment, second), seed.gradient};
    tape.backward(segment, {&last, 1});
    const Tensor between = input(load_doubles(tape.gradient(second)));
    tape.forget();
    EXPECT_EQ(tape.gradient(second).buffer, nullptr);
    Tensor first = input({0.5, -0.7});
    tape.watch(first);
    const Tape::Seed next{layer(segment, first), between};
    tape.backward(segment, {&next, 1});
    EXPECT_EQ(load_doubles(tape.gradient(first)), load_doubles(whole.gradient(x)));
    EXPECT_EQ(load_doubles(tape.weight_gradient(7)), load_doubles(whole.weight_gradient(7)));
  }
}

TEST_F(TapeGraph, ResultsOutliveTheReadersArena) {
  Tape tape;
  Ctx c = ctx(tape);
  Tensor x = tensor({1, 2}, {5, 7});
  tape.watch(x);
  const Arena::Mark mark = arena_.mark();
  const Tensor y = linear(c, x, w_.weight);
  arena_.rewind(mark);  // as a driver does after each layer
  tensor({1, 64}, Numbers(64, 1e30));
  EXPECT_EQ(load_doubles(y), (Numbers{19, 43}));
}

}  // namespace
}  // namespace landfall
