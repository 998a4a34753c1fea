// Every operator, unasked: its cases through every kernel set against the references in double, whatever the number of
// threads. A new file in tensor/ops/ is tested by being there, and fails here when it brings no cases.
#include "tensor/operator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "tensor/access.h"
#include "tensor/op_inputs.h"
#include "tensor/ops.h"
#include "tensor/testing.h"

namespace landfall {
namespace {

constexpr uint64_t kSeed = 7;

// The outputs of one case, each in order as double, and whether they are integers.
struct Outputs {
  std::vector<std::vector<double>> values;
  std::vector<bool> integer;
};

Outputs run_case(const OpCase& c, Device device, int threads) {
  const TestBatch batch(c.runs);
  ThreadPool pool(threads);
  Arena arena;
  RunReader reader;
  Ctx ctx = make_ctx(reader, device, pool, arena, batch.batch(), nullptr);
  OpInputs inputs(kSeed);
  Outputs out;
  for (const Tensor& t : c.run(ctx, inputs)) {
    out.values.push_back(load_doubles(t));
    out.integer.push_back(t.type == DType::i32);
  }
  return out;
}

TEST(Operator, EveryOneHasCasesAndAMeaning) {
  EXPECT_GE(ops_table().size(), 15u);
  for (const Operator* op : ops_table()) {
    SCOPED_TRACE(op->name);
    ASSERT_NE(op->infer, nullptr);
    EXPECT_NE(op->reference == nullptr, op->expand == nullptr) << "exactly one of reference and expand";
    ASSERT_NE(op->cases, nullptr);
    EXPECT_FALSE(op->cases().empty());
    for (size_t i = 1; i < op->kernels.size(); ++i) EXPECT_LT(op->kernels[i].set, op->kernels[i - 1].set);
    if (op->kernels.empty()) continue;
    EXPECT_EQ(op->kernels.back().set, KernelSet::scalar);
  }
}

TEST(Operator, EveryKernelSetAgreesWithTheReference) {
  for (const Operator* op : ops_table()) {
    double worst[2] = {0, 0};  // relaxed, exact
    for (const OpCase& c : op->cases()) {
      const Outputs expected = run_case(c, {KernelSet::reference, true}, 1);
      for (KernelSet set : available_kernel_sets()) {
        for (bool exact : {false, true}) {
          SCOPED_TRACE(std::string(op->name) + ", " + c.name + ", " + std::string(name(set)) +
                       (exact ? ", exact" : ""));
          const Outputs got = run_case(c, {set, exact}, 2);
          ASSERT_EQ(got.values.size(), expected.values.size());
          for (size_t i = 0; i < got.values.size(); ++i) {
            if (expected.integer[i]) {
              EXPECT_EQ(got.values[i], expected.values[i]);
              continue;
            }
            const double error = relative_error(got.values[i], expected.values[i]);
            EXPECT_LE(error, exact ? c.exact_tolerance : c.tolerance);
            worst[exact] = std::max(worst[exact], error);
          }
        }
      }
    }
    std::printf("%-18s worst error %.1e exact, %.1e with activations quantised\n", std::string(op->name).c_str(),
                worst[1], worst[0]);
  }
}

TEST(Operator, CasesSeeWhatTheyMeasure) {  // a reference of zeros, or none, would agree with anything
  for (const Operator* op : ops_table()) {
    for (const OpCase& c : op->cases()) {
      SCOPED_TRACE(std::string(op->name) + ", " + c.name);
      const Outputs out = run_case(c, {KernelSet::reference, true}, 1);
      ASSERT_FALSE(out.values.empty());
      for (const std::vector<double>& values : out.values) {
        if (!c.runs.empty() && c.runs[0].count == 0) continue;
        EXPECT_TRUE(std::any_of(values.begin(), values.end(), [](double v) { return v != 0; }));
        EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); }));
      }
    }
  }
}

TEST(Operator, TheNumberOfThreadsChangesNoBit) {
  for (const Operator* op : ops_table()) {
    for (const OpCase& c : op->cases()) {
      for (KernelSet set : available_kernel_sets()) {
        SCOPED_TRACE(std::string(op->name) + ", " + c.name + ", " + std::string(name(set)));
        const Outputs one = run_case(c, {set, false}, 1);
        for (int threads : {2, 3}) EXPECT_EQ(run_case(c, {set, false}, threads).values, one.values);
      }
    }
  }
}

TEST(Operator, ProductsWithBf16WeightsRoundTheirInputsWhereThatIsAsked) {
  for (const char* format : {"BF16", "F32"}) {
    const OpCase product{.name = format, .runs = {{0, 9, 0, 0, true}}, .run = [&](Ctx& ctx, OpInputs& in) {
                           const Tensor x = in.tensor(ctx, {9, 70});
                           return std::vector<Tensor>{x, linear(ctx, x, in.weight(format, 1, 40, 70))};
                         }};
    const OpCase rounded{.name = format, .runs = product.runs, .run = [&](Ctx& ctx, OpInputs& in) {
                           Tensor x = in.tensor(ctx, {9, 70});
                           std::vector<double> values = load_doubles(x);
                           for (double& v : values) v = bf16_to_float(float_to_bf16(static_cast<float>(v)));
                           store_doubles(x, values);
                           return std::vector<Tensor>{x, linear(ctx, x, in.weight(format, 1, 40, 70))};
                         }};
    const bool rounds = std::string_view(format) == "BF16";
    const Outputs expected = run_case(rounds ? rounded : product, {KernelSet::reference, true}, 1);
    const Outputs other = run_case(rounds ? product : rounded, {KernelSet::reference, true}, 1);
    for (KernelSet set : available_kernel_sets()) {
      SCOPED_TRACE(std::string(format) + ", " + std::string(name(set)));
      const Outputs got = run_case(product, {set, true, true}, 2);
      EXPECT_LE(relative_error(got.values[1], expected.values[1]), 2e-6);
      EXPECT_GE(relative_error(got.values[1], other.values[1]), 1e-4);
    }
  }
}

// ---- a row does not depend on its neighbours

constexpr int64_t kMostRows = 512;
constexpr int64_t kWidth = 96;

// What row-wise operators are called with: the first `rows` of these arrays.
struct RowData {
  std::vector<float> x = std::vector<float>(kMostRows * kWidth), y = x;
  std::vector<int32_t> ids = std::vector<int32_t>(kMostRows * 2);
  RowData() {
    uint32_t state = 1;
    auto next = [&] { return static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1.0f; };
    for (float& v : x) v = next();
    for (float& v : y) v = next();
    for (int32_t& v : ids) v = static_cast<int32_t>((next() + 1.0f) * 2.5f) % 5;
  }
};

Tensor place(Ctx& ctx, const void* values, DType type, std::initializer_list<int64_t> shape) {
  Tensor t = Tensor::of(type, shape);
  ctx.arena.place(t);
  std::memcpy(data<std::byte>(t), values, static_cast<size_t>(t.elements() * size_of(type)));
  return t;
}

using RowCall = std::function<Tensor(Ctx&, OpInputs&, const Tensor& x, const Tensor& y, const Tensor& ids)>;

void expect_rows_alone(const std::string& what, const RowCall& call) {
  static const RowData rows;
  ThreadPool pool(2);
  RunReader reader;
  for (KernelSet set : available_kernel_sets()) {
    for (bool exact : {false, true}) {
      SCOPED_TRACE(what + ", " + std::string(name(set)) + (exact ? ", exact" : ""));
      // Rows [first, first + n) of the data, as bytes per row.
      auto run = [&](int64_t first, int64_t n) {
        const TestBatch batch({Run{0, static_cast<int32_t>(n), 0, 0, true}});
        Arena arena;
        Ctx ctx = make_ctx(reader, {set, exact}, pool, arena, batch.batch(), nullptr);
        OpInputs inputs(3);
        const Tensor out = call(ctx, inputs, place(ctx, rows.x.data() + first * kWidth, DType::f32, {n, kWidth}),
                                place(ctx, rows.y.data() + first * kWidth, DType::f32, {n, kWidth}),
                                place(ctx, rows.ids.data() + first * 2, DType::i32, {n, 2}));
        const size_t bytes = static_cast<size_t>(out.elements() * size_of(out.type));
        return std::string(reinterpret_cast<const char*>(data<std::byte>(out)), bytes);
      };
      const std::string all = run(0, kMostRows);
      const size_t row = all.size() / kMostRows;
      ASSERT_GT(row, 0u);
      EXPECT_EQ(run(0, 8), all.substr(0, 8 * row));
      EXPECT_EQ(run(200, 37), all.substr(200 * row, 37 * row));
      for (int64_t r : {0, 7, 95, 96, 511}) EXPECT_EQ(run(r, 1), all.substr(static_cast<size_t>(r) * row, row)) << r;
    }
  }
}

TEST(Operator, FewPanelsAndManyThreadsAreCutByRowsToo) {
  static const RowData rows;
  RunReader reader;
  const TestBatch batch({landfall::Run{0, kMostRows, 0, 0, true}});
  for (KernelSet set : available_kernel_sets()) {
    std::vector<double> one;
    for (int threads : {1, 2, 5, 8, 64}) {
      ThreadPool pool(threads);
      Arena arena;
      Ctx ctx = make_ctx(reader, {set, false}, pool, arena, batch.batch(), nullptr);
      OpInputs inputs(3);
      const Tensor x = place(ctx, rows.x.data(), DType::f32, {kMostRows, kWidth});
      const std::vector<double> out = load_doubles(linear(ctx, x, inputs.weight("Q8_0", 1, 40, kWidth)));
      if (threads == 1) one = out;
      EXPECT_EQ(out, one) << name(set) << " with " << threads;
    }
  }
}

TEST(Operator, RowsOfWeightProductsAreComputedAlone) {
  for (const char* format : {"F32", "BF16", "F8_E4M3", "Q8_0", "Q4_0", "Q5_1", "IQ4_NL", "MXFP4"}) {
    const std::string f = format;
    expect_rows_alone("linear " + f, [=](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
      return linear(ctx, x, in.weight(f, 1, 40, kWidth));
    });
    expect_rows_alone("head_linear " + f, [=](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
      return head_linear(ctx, reshape(ctx, x, {x.rows(), 3, 32}), in.weight(f, 3, 20, 32));
    });
    expect_rows_alone("head_linear transposed " + f,
                      [=](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
                        return head_linear(ctx, reshape(ctx, x, {x.rows(), 3, 32}), in.weight(f, 3, 32, 48), true);
                      });
    expect_rows_alone("expert_linear " + f,
                      [=](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor& ids) {
                        return expert_linear(ctx, x, ids, in.weight(f, 5, 24, kWidth));
                      });
    expect_rows_alone("logits " + f, [=](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
      return logits(ctx, x, ctx.logits_rows, in.weight(f, 1, 40, kWidth));
    });
  }
  for (const char* format : {"Q4_K", "Q6_K", "IQ4_XS"}) {  // blocks of 256: padded columns
    expect_rows_alone(format, [=](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
      return linear(ctx, x, in.weight(format, 1, 40, kWidth));
    });
  }
}

TEST(Operator, RowsOfTheOthersAreComputedAlone) {
  expect_rows_alone("rms_norm", [](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
    return rms_norm(ctx, x, in.vector(kWidth, 0.5, 1.5), 1e-6f);
  });
  expect_rows_alone(
      "swiglu", [](Ctx& ctx, OpInputs&, const Tensor& x, const Tensor& y, const Tensor&) { return swiglu(ctx, x, y); });
  expect_rows_alone("swiglu of an odd width",
                    [](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor& y, const Tensor&) {
                      const Weight& narrow = in.weight("F32", 1, 19, kWidth);
                      return swiglu(ctx, linear(ctx, x, narrow), linear(ctx, y, narrow));
                    });
  expect_rows_alone("softmax",
                    [](Ctx& ctx, OpInputs&, const Tensor& x, const Tensor&, const Tensor&) { return softmax(ctx, x); });
  expect_rows_alone(
      "add", [](Ctx& ctx, OpInputs&, const Tensor& x, const Tensor& y, const Tensor&) { return add(ctx, x, y); });
  expect_rows_alone("concat", [](Ctx& ctx, OpInputs&, const Tensor& x, const Tensor& y, const Tensor&) {
    return concat(ctx, x, slice(ctx, y, 5, 20));
  });
  expect_rows_alone("embedding", [](Ctx& ctx, OpInputs& in, const Tensor&, const Tensor&, const Tensor& ids) {
    return embedding(ctx, ids, in.weight("Q4_0", 1, 5, 64));
  });
  const RouterSpec spec{RouterSpec::Gate::sigmoid, 4, 4, 2, true, 2.5f};
  expect_rows_alone("router", [=](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
    return router(ctx, x, &in.vector(kWidth, -1, 1), spec).ids;
  });
  expect_rows_alone("router weights", [=](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
    return router(ctx, x, &in.vector(kWidth, -1, 1), spec).weights;
  });
  expect_rows_alone("experts", [](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor& y, const Tensor& ids) {
    const Weight& narrow = in.weight("F32", 1, 2, kWidth);
    const Weight &gate = in.weight("Q4_0", 5, 32, kWidth), &up = in.weight("Q4_0", 5, 32, kWidth);
    const FeedForward block{&gate, &up, &in.weight("Q8_0", 5, kWidth, 32)};
    return experts(ctx, x, {ids, softmax(ctx, linear(ctx, y, narrow))}, block, block);
  });
  expect_rows_alone("feed_forward", [](Ctx& ctx, OpInputs& in, const Tensor& x, const Tensor&, const Tensor&) {
    const Weight &gate = in.weight("Q4_K", 1, 256, kWidth), &up = in.weight("Q5_0", 1, 256, kWidth);
    return feed_forward(ctx, x, {&gate, &up, &in.weight("Q6_K", 1, kWidth, 256)});
  });
}

TEST(Operator, RouterPrefersTheLowerIndexOnTies) {
  const TestBatch batch({landfall::Run{0, 1, 0, 0, true}});
  ThreadPool pool(1);
  RunReader reader;
  std::vector<KernelSet> sets = available_kernel_sets();
  sets.push_back(KernelSet::reference);
  for (KernelSet set : sets) {
    Arena arena;
    Ctx ctx = make_ctx(reader, {set, true}, pool, arena, batch.batch(), nullptr);
    Tensor z = Tensor::of(set == KernelSet::reference ? DType::f64 : DType::f32, {1, 8});
    arena.place(z);
    store_doubles(z, {1, 2, 2, 2, 0, 2, 1, 1});
    EXPECT_EQ(load_doubles(router(ctx, z, nullptr, {RouterSpec::Gate::softmax, 3, 1, 1, false, 1.0f}).ids),
              (std::vector<double>{1, 2, 3}));
    // Groups {1 2} {2 2} {0 2} {1 1}: by the sum of two, group 1 leads, then group 0; by the best, 0, 1 and 2 tie.
    EXPECT_EQ(load_doubles(router(ctx, z, nullptr, {RouterSpec::Gate::sigmoid, 3, 4, 2, false, 1.0f}).ids),
              (std::vector<double>{1, 2, 3}));
    EXPECT_EQ(load_doubles(router(ctx, z, nullptr, {RouterSpec::Gate::softmax, 4, 4, 2, false, 1.0f}).ids),
              (std::vector<double>{0, 1, 2, 3}));
    // Numbers that are not numbers lose, and still two different experts are chosen.
    store_doubles(z, {NAN, NAN, NAN, 1, NAN, NAN, NAN, NAN});
    const std::vector<double> ids =
        load_doubles(router(ctx, z, nullptr, {RouterSpec::Gate::sigmoid, 2, 1, 1, false, 1.0f}).ids);
    EXPECT_EQ(ids, (std::vector<double>{0, 3}));
  }
}

}  // namespace
}  // namespace landfall
