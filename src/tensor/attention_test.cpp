// Attention with a cache: what serving leans on. Step by step, in any chunks, alone or among other sequences, the
// bytes are the same; both forms of latent attention and the run without a cache agree with the reference in double.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <random>

#include "tensor/format.h"
#include "tensor/ops.h"
#include "tensor/testing.h"
#include "tensor/weight.h"

namespace landfall {
namespace {

constexpr int32_t kPositions = 264;  // more than two pages
constexpr int32_t kLong = 1300;      // more than are expanded at once

std::vector<float> numbers(int64_t n, uint32_t seed, float range = 1.0f) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-range, range);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) v = uniform(random);
  return out;
}

// Some rows of one sequence within a step.
struct Part {
  int32_t sequence, first, count;
  bool expanded = true;
};

// One kind of attention, called with rows of arrays that each sequence has of its own.
class Attention {
 public:
  virtual ~Attention() = default;
  virtual std::vector<int32_t> slot_widths() const = 0;
  virtual int64_t out_width() const = 0;
  // Rows of the parts one after another: as tensors in ctx, then the operator.
  virtual Tensor call(Ctx& ctx, const std::vector<Part>& parts) const = 0;

 protected:
  // The rows of every part of the array that `seed` and the sequence name, [rows, ...] with row_width numbers each.
  static Tensor rows(Ctx& ctx, const std::vector<Part>& parts, uint32_t seed, std::initializer_list<int64_t> shape,
                     float range = 1.0f) {
    const DType type = ctx.device.kernels == KernelSet::reference ? DType::f64 : DType::f32;
    Tensor t = shape.size() == 1 ? Tensor::of(type, {ctx.positions.elements(), shape.begin()[0]})
                                 : Tensor::of(type, {ctx.positions.elements(), shape.begin()[0], shape.begin()[1]});
    ctx.arena.place(t);
    const int64_t width = t.stride[0];
    std::vector<double> values;
    for (const Part& part : parts) {
      static std::map<std::pair<uint32_t, int64_t>, std::vector<float>> made;
      const uint32_t own = seed + 100 * static_cast<uint32_t>(part.sequence);
      std::vector<float>& all = made[{own, width}];
      if (all.empty()) all = numbers(kLong * width, own, range);
      values.insert(values.end(), all.begin() + part.first * width, all.begin() + (part.first + part.count) * width);
    }
    store_doubles(t, values);
    return t;
  }
};

class Grouped : public Attention {
 public:
  Grouped(int32_t key_width, int32_t value_width) : key_(key_width), value_(value_width) {}
  std::vector<int32_t> slot_widths() const override { return {2 * key_, 2 * value_}; }
  int64_t out_width() const override { return 6 * value_; }
  Tensor call(Ctx& ctx, const std::vector<Part>& parts) const override {
    return attention(ctx, rows(ctx, parts, 1, {6, key_}, 2.0f), rows(ctx, parts, 2, {2, key_}, 2.0f),
                     rows(ctx, parts, 3, {2, value_}), 0.3f, 0);
  }

 private:
  int32_t key_, value_;
};

class Latent : public Attention {
 public:
  static constexpr int64_t kHeads = 3, kNope = 16, kRope = 8, kLora = 32;
  Latent(std::string_view format, bool absorb, int64_t value_width = 20) : value_width_(value_width), absorb_(absorb) {
    const std::vector<float> up = numbers(kHeads * kNope * kLora, 11, 0.3f);
    std::vector<float> key = up;
    if (absorb) {
      for (int64_t h = 0; h < kHeads; ++h)
        for (int64_t o = 0; o < kNope; ++o)
          for (int64_t i = 0; i < kLora; ++i) key[(h * kLora + i) * kNope + o] = up[(h * kNope + o) * kLora + i];
    }
    const Format& f = *format_by_name(format);
    key_ = make_weight(1, "key", f, kHeads, absorb ? kLora : kNope, absorb ? kNope : kLora, key);
    value_ = make_weight(2, "value", f, kHeads, value_width_, kLora, numbers(kHeads * value_width_ * kLora, 12, 0.3f));
  }
  std::vector<int32_t> slot_widths() const override { return {kLora + kRope}; }
  int64_t out_width() const override { return kHeads * value_width_; }
  Tensor call(Ctx& ctx, const std::vector<Part>& parts) const override {
    return latent_attention(ctx, rows(ctx, parts, 1, {kHeads, kNope + kRope}, 2.0f), rows(ctx, parts, 2, {kLora}),
                            rows(ctx, parts, 3, {kRope}), absorb_ ? nullptr : &key_.weight,
                            absorb_ ? &key_.weight : nullptr, value_.weight, 0.3f, 0);
  }

 private:
  int64_t value_width_;
  bool absorb_;
  OwnedWeight key_, value_;
};

// One step; the outputs of its rows.
std::vector<double> step(const Attention& a, Device device, KvView* cache, const std::vector<Part>& parts,
                         int threads = 2) {
  std::vector<Run> runs;
  int32_t first = 0;
  for (const Part& part : parts) {
    runs.push_back({first, part.count, cache ? part.first : 0, part.sequence, part.expanded});
    first += part.count;
  }
  const TestBatch batch(runs);
  static ThreadPool one(1), two(2);
  static Arena arena;  // used again and again, as in serving
  arena.reset();
  RunReader reader;
  Ctx ctx = make_ctx(reader, device, threads == 1 ? one : two, arena, batch.batch(), cache);
  return load_doubles(a.call(ctx, parts));
}

// Sequence 0 in steps of the given sizes (the last one repeated).
std::vector<double> in_chunks(const Attention& a, Device device, CacheType type, std::vector<int32_t> sizes,
                              bool expanded, int32_t positions = kPositions) {
  TestCache cache(type, a.slot_widths(), positions);
  std::vector<double> out;
  size_t next = 0;
  for (int32_t at = 0; at < positions;) {
    const int32_t count = std::min(sizes[std::min(next++, sizes.size() - 1)], positions - at);
    const std::vector<double> part = step(a, device, &cache, {{0, at, count, expanded}});
    out.insert(out.end(), part.begin(), part.end());
    at += count;
  }
  return out;
}

struct Kind {
  std::string name;
  std::unique_ptr<Attention> attention;
  bool expanded;
};

std::vector<Kind> kinds(bool quantised = true) {
  std::vector<Kind> out;
  out.push_back({"grouped", std::make_unique<Grouped>(24, 20), true});
  out.push_back({"grouped, wide", std::make_unique<Grouped>(34, 64), true});
  for (const char* format : {"F32", "Q8_0"}) {
    if (!quantised && std::string_view(format) != "F32") continue;
    for (bool absorb : {false, true}) {
      if (absorb && std::string_view(format) != "F32") continue;
      for (bool expanded : {false, true}) {
        // Values 20 wide fit no vector; with 32 the bf16 products serve the expanded form too.
        out.push_back({std::string("latent ") + format + (absorb ? ", absorbed weight" : ", projected weight") +
                           (expanded ? ", expanded" : ", absorbed"),
                       std::make_unique<Latent>(format, absorb, format == std::string_view("Q8_0") ? 32 : 20),
                       expanded});
      }
    }
  }
  return out;
}

void for_each(const std::function<void(const Kind&, Device, CacheType)>& body) {
  for (const Kind& kind : kinds()) {
    for (KernelSet set : available_kernel_sets()) {
      for (CacheType type : {CacheType::f32, CacheType::bf16, CacheType::int8}) {
        if (type == CacheType::f32 && kind.name.find("Q8_0") != std::string::npos)
          continue;                                                        // one cache type is enough there
        if (type == CacheType::f32 && set == KernelSet::scalar) continue;  // all share their loops over pages
        SCOPED_TRACE(kind.name + ", " + std::string(name(set)) + ", cache type " +
                     std::to_string(static_cast<int>(type)));
        body(kind, {set, false}, type);
      }
    }
  }
}

TEST(Attention, AnyChunkingEqualsWholeByteForByte) {
  for_each([](const Kind& kind, Device device, CacheType type) {
    const std::vector<double> whole = in_chunks(*kind.attention, device, type, {kPositions}, kind.expanded);
    for (const std::vector<int32_t>& sizes : std::vector<std::vector<int32_t>>{{128}, {64, 63, 2, 100}}) {
      EXPECT_EQ(in_chunks(*kind.attention, device, type, sizes, kind.expanded), whole) << sizes[0];
    }
  });
}

TEST(Attention, StepByStepEqualsWholeByteForByte) {
  for_each([](const Kind& kind, Device device, CacheType type) {
    // Single steps where the past fills less than a vector's lanes or two of them, and around the ends of both pages.
    std::vector<int32_t> sizes(35, 1);
    sizes.insert(sizes.end(), {90, 1, 1, 1, 1, 1, 1, 122, 1});
    EXPECT_EQ(in_chunks(*kind.attention, device, type, sizes, kind.expanded),
              in_chunks(*kind.attention, device, type, {kPositions}, kind.expanded));
  });
}

TEST(Attention, ABatchOfSequencesEqualsEachAloneByteForByte) {
  for_each([](const Kind& kind, Device device, CacheType type) {
    const Attention& a = *kind.attention;
    const std::vector<Part> before = {{0, 0, 37, kind.expanded}, {2, 0, 263, kind.expanded}};
    const std::vector<Part> parts = {
        {0, 37, 5, kind.expanded}, {1, 0, 130, kind.expanded}, {2, 263, 1, !kind.expanded}};
    TestCache together(type, a.slot_widths(), kPositions), alone(type, a.slot_widths(), kPositions);
    step(a, device, &together, before);
    const std::vector<double> all = step(a, device, &together, parts);
    std::vector<double> one_by_one;
    for (const Part& part : before) step(a, device, &alone, {part});
    for (const Part& part : parts) {
      const std::vector<double> out = step(a, device, &alone, {part}, 1);
      one_by_one.insert(one_by_one.end(), out.begin(), out.end());
    }
    EXPECT_EQ(all, one_by_one);
  });
}

TEST(Attention, EveryFormAgreesWithTheReference) {
  for (const Kind& kind : kinds()) {
    const Attention& a = *kind.attention;
    const Part all{0, 0, kPositions, kind.expanded};
    const std::vector<double> meaning = step(a, {KernelSet::reference, true}, nullptr, {all});
    for (KernelSet set : available_kernel_sets()) {
      SCOPED_TRACE(kind.name + ", " + std::string(name(set)));
      EXPECT_LT(relative_error(step(a, {set, true}, nullptr, {all}), meaning), 1e-6);
      EXPECT_LT(relative_error(in_chunks(a, {set, true}, CacheType::f32, {100}, kind.expanded), meaning), 1e-6);
      EXPECT_LT(relative_error(in_chunks(a, {set, true}, CacheType::bf16, {100}, kind.expanded), meaning), 5e-3);
      EXPECT_LT(relative_error(in_chunks(a, {set, true}, CacheType::int8, {100}, kind.expanded), meaning), 1.5e-2);
      // Rows that are not there in a bf16 cache would show; so would rows of another page.
      EXPECT_LT(relative_error(in_chunks(a, {set, false}, CacheType::f32, {100}, kind.expanded), meaning), 1e-2);
    }
  }
}

TEST(Attention, ExpandedAndAbsorbedLatentAttentionAgree) {
  const Latent projected("F32", false), absorbed("F32", true);
  for (KernelSet set : available_kernel_sets()) {
    const std::vector<double> one = in_chunks(projected, {set, true}, CacheType::f32, {kPositions}, true);
    for (const Latent* a : {&projected, &absorbed}) {
      for (bool expanded : {false, true}) {
        EXPECT_LT(relative_error(in_chunks(*a, {set, true}, CacheType::f32, {90}, expanded), one), 1e-6);
      }
    }
  }
}

TEST(Attention, ALongPastIsExpandedInParts) {
  const Latent latent("F32", true);
  const std::vector<double> meaning = step(latent, {KernelSet::reference, true}, nullptr, {{0, 0, kLong}});
  for (KernelSet set : available_kernel_sets()) {
    const std::vector<double> whole = in_chunks(latent, {set, true}, CacheType::f32, {kLong}, true, kLong);
    EXPECT_LT(relative_error(whole, meaning), 1e-6);
    EXPECT_EQ(in_chunks(latent, {set, true}, CacheType::f32, {1000, 200, 1}, true, kLong), whole);
  }
}

// What a step needs at the end of a long past is what counting it says, and does not grow.
TEST(Attention, ExpandingTakesTheMemoryThatItsCostSays) {
  const Latent latent("F32", true);
  const std::vector<landfall::Run> runs = {{0, 16, 4096 - 16, 0, true}};
  const TestBatch batch(runs);
  TestCache cache(CacheType::bf16, latent.slot_widths(), 4096);
  ThreadPool pool(2);
  Arena arena;
  CountReader counter;
  Ctx counting = make_ctx(counter, {KernelSet::scalar, false}, pool, arena, batch.batch(), &cache);
  const std::vector<Part> rows = {{0, 0, 16}};
  latent.call(counting, rows);
  const auto inputs = static_cast<double>(arena.peak());
  RunReader reader;
  arena.reset();
  Ctx ctx = make_ctx(reader, {KernelSet::scalar, false}, pool, arena, batch.batch(), &cache);
  latent.call(ctx, rows);
  const double taken = static_cast<double>(arena.peak()) - inputs;
  const double said = counter.total().scratch_bytes + 2 * static_cast<double>(counter.activation_bytes());
  EXPECT_LT(taken, 1.2 * said);
  EXPECT_GT(taken, 0.5 * said);
}

TEST(Attention, ARowSeesNoLaterRowAndNoOtherSequence) {
  for (const Kind& kind : kinds(false)) {
    const Attention& a = *kind.attention;
    const Device device{available_kernel_sets().back(), true};
    const auto width = static_cast<size_t>(a.out_width());
    const std::vector<double> whole = step(a, device, nullptr, {{0, 0, kPositions}});
    const std::vector<double> less = step(a, device, nullptr, {{0, 0, 150}});
    EXPECT_EQ(less, std::vector<double>(whole.begin(), whole.begin() + static_cast<int64_t>(150 * width))) << kind.name;
    // Two documents packed into one batch without a cache.
    const std::vector<double> other = step(a, device, nullptr, {{1, 0, 40}});
    std::vector<double> expected = less;
    expected.insert(expected.end(), other.begin(), other.end());
    EXPECT_EQ(step(a, device, nullptr, {{0, 0, 150}, {1, 0, 40}}), expected) << kind.name;
  }
}

}  // namespace
}  // namespace landfall
