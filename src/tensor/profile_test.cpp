// The profile agrees with the count reading, and its times with the clock.
#include "tensor/profile.h"

#include <gtest/gtest.h>

#include "tensor/op_inputs.h"
#include "tensor/ops.h"
#include "tensor/testing.h"

namespace landfall {
namespace {

// A little of a layer: a matrix, an activation, experts (a fusion), a norm.
void part_of_a_layer(Ctx& ctx, OpInputs& in) {
  const int64_t rows = ctx.batch.token.size();
  const Tensor x = in.tensor(ctx, {rows, 64});
  const Tensor y = linear(ctx, x, in.weight("Q8_0", 1, 64, 64));
  const Tensor z = rms_norm(ctx, swiglu(ctx, y, y), in.vector(64, 0.5, 1.5), 1e-6f);
  const Routing routing = router(ctx, linear(ctx, z, in.weight("F32", 1, 4, 64)), nullptr, {.experts_per_row = 2});
  const Weight &gate = in.weight("Q8_0", 4, 32, 64), &up = in.weight("Q8_0", 4, 32, 64);
  (void)experts(ctx, z, routing, {&gate, &up, &in.weight("Q8_0", 4, 64, 32)});
}

template <class Reader>
void read(Reader& reader, KernelSet set) {
  const TestBatch batch({{0, 6, 0, 0, false}});
  ThreadPool pool(2);
  Arena arena;
  OpInputs inputs(3);
  Ctx ctx = make_ctx(reader, {set, false}, pool, arena, batch.batch(), nullptr);
  part_of_a_layer(ctx, inputs);
}

TEST(Profile, DoesWhatTheCountReadingSays) {
  for (KernelSet set : {KernelSet::reference, available_kernel_sets().back()}) {
    CountReader count;
    read(count, set);
    ProfileReader profile(Env::real());
    read(profile, set);
    Cost total;
    for (const auto& event : profile.events()) {
      total.operations += event.cost.operations;
      total.weight_bytes += event.cost.weight_bytes;
    }
    EXPECT_EQ(total.operations, count.total().operations) << name(set);
    EXPECT_EQ(total.weight_bytes, count.total().weight_bytes) << name(set);
    EXPECT_GT(total.operations, 0);
  }
}

TEST(Profile, NoTimeIsBookedTwice) {
  for (KernelSet set : {KernelSet::reference, available_kernel_sets().back()}) {
    ProfileReader profile(Env::real());
    const double start = Env::real().seconds();
    read(profile, set);
    const double end = Env::real().seconds();
    double at = start;
    for (const auto& event : profile.events()) {
      EXPECT_GE(event.start, at) << event.op->name;  // after the one before has ended
      at = event.start + event.seconds;
    }
    EXPECT_LE(at, end);
    EXPECT_GT(profile.seconds(), 0);
  }
}

TEST(Profile, RowsAddUpLayersAndNameTheWeight) {
  const Operator linear{.name = "linear"}, add{.name = "add"};
  const std::vector<ProfileReader::Event> events = {
      {&linear, "blk.0.attn_q.weight", 0, Activation::int8, 0, 0.5, {10, 20, 0}},
      {&add, "", 0, Activation::f32, 0.5, 0.25, {}},
      {&linear, "blk.1.attn_q.weight", 1, Activation::int8, 1, 0.5, {10, 20, 3}},
      {&linear, "model.layers.1.mlp.down_proj.weight", 1, Activation::int8, 2, 1, {}}};
  const std::vector<ProfileRow> rows = profile_rows(events);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].name, "linear attn_q");
  EXPECT_EQ(rows[0].calls, 2);
  EXPECT_EQ(rows[0].seconds, 1.0);
  EXPECT_EQ(rows[0].cost.operations, 20);
  EXPECT_EQ(rows[0].cost.cache_bytes, 3);
  EXPECT_EQ(rows[1].name, "add");
  EXPECT_EQ(rows[2].name, "linear mlp.down_proj");
}

TEST(Profile, TheLimitIsWhateverBinds) {
  const Limits limits{.int8 = 100, .bf16 = 50, .f32 = 25, .bandwidth = 10};
  EXPECT_EQ(limits.seconds({200, 10, 0}, Activation::int8), 2);
  EXPECT_EQ(limits.seconds({200, 10, 0}, Activation::f32), 8);
  EXPECT_EQ(limits.seconds({200, 30, 20}, Activation::int8), 5);
}

}  // namespace
}  // namespace landfall
