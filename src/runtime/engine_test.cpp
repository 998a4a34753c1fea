// The engine on the tiny golden models, whose weights are floats, and on small ones of random weights in other formats:
// cached steps agree with the references, and how tokens are cut into steps, who else is in the batch and with which
// adapter, forks and truncation change nothing, byte for byte.
#include "runtime/engine.h"

#include <gtest/gtest.h>

#include "base/counter_random.h"
#include "model/testing.h"
#include "runtime/adapter_weights.h"

namespace landfall {
namespace {

using Rows = std::vector<float>;

struct Fixture {
  std::shared_ptr<const Model> model;
  std::unique_ptr<Engine> engine;
};

Fixture make_engine(const std::string& path, Device device, CacheType cache, int64_t positions = 1024) {
  LoadedModel loaded = load_for_test(path);
  Fixture out;
  out.model = std::make_shared<const Model>(std::move(loaded.model));
  EngineOptions options;
  options.threads = 2;
  options.context = 256;
  options.cache_positions = positions;
  options.batch = 128;
  options.cache_type = cache;
  options.device = device;
  auto engine = Engine::create(out.model, options);
  EXPECT_TRUE(engine.ok()) << engine.status().message();
  out.engine = std::move(*engine);
  return out;
}

Fixture make_engine(const Golden& golden, Device device, CacheType cache, int64_t positions = 1024) {
  return make_engine(write_golden_model(golden, Json()), device, cache, positions);
}

// Feeds tokens in pieces of the given sizes (the last repeated) and collects the logits of every row.
Rows feed(Engine& engine, Engine::SequenceId id, std::span<const int32_t> tokens, std::vector<size_t> pieces,
          const Overlay* overlay = nullptr) {
  Rows out;
  for (size_t at = 0, i = 0; at < tokens.size(); ++i) {
    const size_t n = std::min(pieces[std::min(i, pieces.size() - 1)], tokens.size() - at);
    const Engine::Work work{id, tokens.subspan(at, n), static_cast<int32_t>(n), {}, overlay};
    auto logits = engine.step({&work, 1});
    EXPECT_TRUE(logits.ok()) << logits.status().message();
    out.insert(out.end(), logits->data, logits->data + logits->rows * logits->vocab);
    at += n;
  }
  return out;
}

Rows fresh(Engine& engine, std::span<const int32_t> tokens, std::vector<size_t> pieces, int64_t expanded_until,
           const Overlay* overlay = nullptr) {
  const auto id = engine.open(expanded_until).value();
  Rows out = feed(engine, id, tokens, std::move(pieces), overlay);
  engine.close(id);
  return out;
}

// A long prompt, so that several pages are in play.
std::vector<int32_t> long_tokens(const Golden& golden) {
  std::vector<int32_t> out;
  for (int i = 0; i < 4; ++i) out.insert(out.end(), golden.tokens.begin(), golden.tokens.begin() + 45 + i);
  return out;
}

// Each way of computing once: every kernel set, float products as they are and rounded, all kinds of cache.
struct Way {
  Device device;
  CacheType cache;
};
std::vector<Way> ways() {
  const std::vector<KernelSet> sets = available_kernel_sets();
  std::vector<Way> out = {{{sets.back(), false}, CacheType::bf16},
                          {{sets.back(), false}, CacheType::int8},
                          {{sets.back(), true}, CacheType::f32}};
  for (size_t i = 0; i + 1 < sets.size(); ++i) out.push_back({{sets[i], false}, CacheType::bf16});
  return out;
}

class EngineTest : public testing::TestWithParam<std::string> {};

// That the largest logits say what the reference said.
void expect_greedy_answer(const Golden& golden, const Rows& rows, std::string_view what) {
  for (size_t step = static_cast<size_t>(golden.prompt); step < golden.tokens.size(); ++step) {
    const auto row = rows.begin() + static_cast<long>((step - 1) * static_cast<size_t>(golden.vocab));
    EXPECT_EQ(std::max_element(row, row + golden.vocab) - row, golden.tokens[step]) << what << ", greedy step " << step;
  }
}

TEST_P(EngineTest, PromptAndTenGreedyStepsAgreeWithTheReference) {
  const Golden golden = read_golden(GetParam());
  for (KernelSet set : available_kernel_sets()) {
    for (int64_t expanded_until : {int64_t{0}, golden.prompt}) {
      const Fixture s = make_engine(golden, {set, true}, CacheType::f32);
      const Rows rows = fresh(*s.engine, golden.tokens, {static_cast<size_t>(golden.prompt), 1}, expanded_until);
      EXPECT_LE(largest_difference(rows, golden.logits, golden.vocab), golden.tolerance)
          << name(set) << " " << expanded_until;
      expect_greedy_answer(golden, rows, name(set));
    }
  }
}

TEST_P(EngineTest, AnyCutOfThePromptGivesTheSameBytes) {
  const Golden golden = read_golden(GetParam());
  const std::vector<int32_t> tokens = long_tokens(golden);
  for (const Way& way : ways()) {
    const Fixture s = make_engine(golden, way.device, way.cache);
    // Only latent attention has an expanded form.
    for (int64_t expanded_until :
         s.model->config().kv_lora > 0 ? std::vector<int64_t>{0, 100} : std::vector<int64_t>{0}) {
      const Rows whole = fresh(*s.engine, tokens, {128, 1000}, expanded_until);
      EXPECT_EQ(whole, fresh(*s.engine, tokens, {1}, expanded_until)) << "one by one";
      EXPECT_EQ(whole, fresh(*s.engine, tokens, {7}, expanded_until)) << "sevens";
      EXPECT_EQ(whole, fresh(*s.engine, tokens, {1, 90, 33, 2}, expanded_until)) << "mixed";
    }
  }
}

TEST_P(EngineTest, BatchedEqualsAlone) {
  const Golden golden = read_golden(GetParam());
  const std::vector<int32_t> tokens = long_tokens(golden);
  for (const Way& way : ways()) {
    const Fixture s = make_engine(golden, way.device, way.cache, 4096);
    const std::span<const int32_t> a(tokens.data(), 40), b(tokens.data() + 3, 61), c(tokens.data() + 9, 5);
    const Rows alone_a = fresh(*s.engine, a, {40}, 0), alone_b = fresh(*s.engine, b, {61}, 61),
               alone_c = fresh(*s.engine, c, {5}, 0);
    const auto id_a = s.engine->open(0).value(), id_b = s.engine->open(61).value(), id_c = s.engine->open(0).value();
    Rows got_a, got_b, got_c;
    size_t at_a = 0, at_b = 0, at_c = 0;
    auto take = [](std::span<const int32_t> all, size_t& at, size_t n) {
      const auto out = all.subspan(at, std::min(n, all.size() - at));
      at += out.size();
      return out;
    };
    while (at_a < a.size() || at_b < b.size() || at_c < c.size()) {
      std::vector<Engine::Work> work;
      std::vector<Rows*> to;
      auto add = [&](Engine::SequenceId id, std::span<const int32_t> part, Rows& rows) {
        if (part.empty()) return;
        work.push_back({id, part, static_cast<int32_t>(part.size())});
        to.push_back(&rows);
      };
      add(id_a, take(a, at_a, 9), got_a);
      add(id_b, take(b, at_b, 17), got_b);
      add(id_c, take(c, at_c, 1), got_c);
      auto logits = s.engine->step(work);
      ASSERT_TRUE(logits.ok()) << logits.status().message();
      int64_t row = 0;
      for (size_t i = 0; i < work.size(); ++i) {
        for (size_t j = 0; j < work[i].tokens.size(); ++j, ++row) {
          to[i]->insert(to[i]->end(), logits->row(row).begin(), logits->row(row).end());
        }
      }
    }
    EXPECT_EQ(got_a, alone_a);
    EXPECT_EQ(got_b, alone_b);
    EXPECT_EQ(got_c, alone_c);
  }
}

TEST_P(EngineTest, WithAnAdapterItComputesWhatTheModelDoes) {
  const Golden golden = read_golden(GetParam());
  const KernelSet set = available_kernel_sets().back();
  const Fixture s = make_engine(golden, {set, true}, CacheType::f32);
  const AdapterWeights adapter(*s.model, adapter_of(*s.model, 3), 1);
  const Rows whole = all_logits(*s.model, golden.tokens, set, {}, nullptr, &adapter.overlay());
  const Rows steps = fresh(*s.engine, golden.tokens, {static_cast<size_t>(golden.prompt), 1}, 0, &adapter.overlay());
  EXPECT_LE(largest_difference(steps, whole, golden.vocab), 1e-5);
  EXPECT_GT(largest_difference(steps, golden.logits, golden.vocab), 0.01) << "an adapter that does nothing";
  int64_t numbers = 0;
  for (const Weight& w : s.model->weights()) {
    if (takes_adapter(*s.model, w)) numbers += 3 * (w.in + w.out);
  }
  EXPECT_GE(adapter.bytes(), numbers * 4);
}

// The model alone, two adapters and one of these twice, in pieces of different sizes.
TEST_P(EngineTest, BatchedWithOtherAdaptersEqualsAlone) {
  const Golden golden = read_golden(GetParam());
  const std::vector<int32_t> tokens = long_tokens(golden);
  for (const Way& way : ways()) {
    const Fixture s = make_engine(golden, way.device, way.cache, 4096);
    const AdapterWeights one(*s.model, adapter_of(*s.model, 3, 1), 1), two(*s.model, adapter_of(*s.model, 1, 2), 2);
    struct Part {
      std::span<const int32_t> tokens;
      size_t piece;
      const Overlay* overlay;
      Rows alone = {};
      Engine::SequenceId id = 0;
      size_t at = 0;
    };
    const auto all = std::span<const int32_t>(tokens).first(40);
    Part parts[] = {{all, 9, &one.overlay()},
                    {all, 17, nullptr},
                    {all, 1, &two.overlay()},
                    {all, 5, &one.overlay()},
                    {all, 40, nullptr}};
    for (Part& part : parts) {
      part.alone = fresh(*s.engine, part.tokens, {40}, 0, part.overlay);
      part.id = s.engine->open(0).value();
    }
    EXPECT_NE(parts[0].alone, parts[1].alone);
    EXPECT_NE(parts[0].alone, parts[2].alone);
    EXPECT_EQ(parts[0].alone, parts[3].alone);
    while (true) {
      std::vector<Engine::Work> work;
      std::vector<Part*> owners;
      for (Part& part : parts) {
        const auto rows = part.tokens.subspan(part.at, std::min(part.piece, part.tokens.size() - part.at));
        if (rows.empty()) continue;
        // Of some rows no logits are wanted.
        work.push_back({part.id, rows, static_cast<int32_t>(rows.size() + 1) / 2, {}, part.overlay});
        owners.push_back(&part);
        part.at += rows.size();
      }
      if (work.empty()) break;
      const auto logits = s.engine->step(work);
      ASSERT_TRUE(logits.ok()) << logits.status().message();
      int64_t row = 0;
      for (size_t i = 0; i < work.size(); ++i) {
        Part& part = *owners[i];
        for (int32_t j = 0; j < work[i].logits_last; ++j, ++row) {
          const auto stands =
              static_cast<size_t>((static_cast<int64_t>(part.at) - work[i].logits_last + j) * golden.vocab);
          const auto got = logits->row(row);
          ASSERT_TRUE(std::equal(got.begin(), got.end(), part.alone.begin() + static_cast<long>(stands))) << i;
        }
      }
      EXPECT_EQ(row, logits->rows);
    }
  }
}

TEST_P(EngineTest, ForkEqualsACopyAndTruncateEqualsNeverHavingGoneOn) {
  const Golden golden = read_golden(GetParam());
  const std::vector<int32_t> tokens = long_tokens(golden);
  const Fixture s = make_engine(golden, {available_kernel_sets().back(), false}, CacheType::bf16, 4096);
  const std::span<const int32_t> all(tokens);
  const auto rest = static_cast<size_t>(golden.vocab);
  const Rows whole = fresh(*s.engine, all.first(180), {180 - 60, 60}, 0);
  for (size_t at : {1u, 100u, 128u, 140u}) {
    const auto parent = s.engine->open(0).value();
    feed(*s.engine, parent, all.first(at), {64});
    const auto child = s.engine->fork(parent).value();
    // The parent goes another way first; the child must not notice.
    std::vector<int32_t> other(all.begin() + 5, all.begin() + 35);
    feed(*s.engine, parent, other, {30});
    const Rows from_child = feed(*s.engine, child, all.subspan(at, 180 - at), {50});
    EXPECT_EQ(from_child, Rows(whole.begin() + static_cast<long>(at * rest), whole.end())) << "fork at " << at;
    ASSERT_TRUE(s.engine->truncate(parent, static_cast<int64_t>(at)).ok());
    EXPECT_EQ(feed(*s.engine, parent, all.subspan(at, 180 - at), {50}), from_child) << "truncate to " << at;
    // A shared full page that a truncation opens again is copied, not written.
    if (at == 140) {
      const auto third = s.engine->fork(child).value();
      ASSERT_TRUE(s.engine->truncate(third, 60).ok());
      feed(*s.engine, third, other, {30});
      ASSERT_TRUE(s.engine->truncate(child, 150).ok());
      EXPECT_EQ(feed(*s.engine, child, all.subspan(150, 30), {30}),
                Rows(whole.begin() + static_cast<long>(150 * rest), whole.end()));
      s.engine->close(third);
    }
    s.engine->close(parent);
    s.engine->close(child);
  }
  EXPECT_EQ(s.engine->free_pages(), s.engine->total_pages());
}

TEST_P(EngineTest, ExpandedAndAbsorbedAttentionAgree) {
  const Golden golden = read_golden(GetParam());
  const Fixture s = make_engine(golden, {available_kernel_sets().back(), true}, CacheType::f32);
  const Rows absorbed = fresh(*s.engine, golden.tokens, {64}, 0);
  const Rows expanded = fresh(*s.engine, golden.tokens, {64}, 1000);
  EXPECT_LE(largest_difference(expanded, absorbed, golden.vocab), 1e-5);
  if (s.model->config().kv_lora > 0) {
    EXPECT_NE(expanded, absorbed) << "two forms that give the same bytes are one form";
  }
}

TEST_P(EngineTest, QuantisedActivationsAndCacheStayClose) {
  const Golden golden = read_golden(GetParam());
  const Fixture exact = make_engine(golden, {available_kernel_sets().back(), true}, CacheType::f32);
  const Rows reference = fresh(*exact.engine, golden.tokens, {64}, 0);
  for (const KernelSet set : available_kernel_sets()) {
    const Fixture plain = make_engine(golden, {set, false}, CacheType::bf16);
    const Rows rows = fresh(*plain.engine, golden.tokens, {64}, 0);
    const double difference = largest_difference(rows, reference, golden.vocab);
    EXPECT_LE(difference, 0.05) << name(set);
    expect_greedy_answer(golden, rows, name(set));
    std::printf("%-24s %-8s bf16 cache: largest difference %.2e of the largest logit\n", GetParam().c_str(),
                std::string(name(set)).c_str(), difference);
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, EngineTest, testing::ValuesIn(golden_variants()), variant_name);

// A family in two layers, with weights of a type whose products are of integers or of bf16.
class EngineFormats : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(EngineFormats, BatchesOf1And7And32AndAnyCutGiveTheSameBytes) {
  const auto [family, type] = GetParam();
  const std::string path = write_small_model(family, type);
  const CounterRandom random(5, 0);
  std::vector<int32_t> tokens;
  for (uint64_t i = 0; i < 190; ++i) tokens.push_back(static_cast<int32_t>(random.bits(i) % kSmallVocab));
  for (const KernelSet set : available_kernel_sets()) {
    const Fixture s = make_engine(path, {set, false}, CacheType::bf16, 33 * kPagePositions);
    const Rows whole = fresh(*s.engine, tokens, {128, 1000}, 0);
    for (const std::vector<size_t>& pieces : {std::vector<size_t>{1}, {7}, {32}, {1, 90, 33, 2}})
      EXPECT_EQ(whole, fresh(*s.engine, tokens, pieces, 0)) << name(set) << " in pieces of " << pieces.back();

    for (const size_t batch : {7u, 32u}) {  // sequences that say the same, some tokens apart
      std::vector<Engine::SequenceId> ids;
      for (size_t i = 0; i < batch; ++i) ids.push_back(s.engine->open(0).value());
      for (size_t at = 0; at < 24; ++at) {
        std::vector<Engine::Work> work;
        std::vector<size_t> row_of;
        for (size_t i = 0; i < batch; ++i) {
          if (at < i % 5) continue;
          row_of.push_back(at - i % 5);
          work.push_back({ids[i], std::span(tokens).subspan(row_of.back(), 1), 1});
        }
        const auto logits = s.engine->step(work);
        ASSERT_TRUE(logits.ok()) << logits.status().message();
        for (size_t i = 0; i < work.size(); ++i) {
          const auto got = logits->row(static_cast<int64_t>(i));
          ASSERT_TRUE(std::equal(got.begin(), got.end(), whole.begin() + static_cast<long>(row_of[i] * kSmallVocab)))
              << name(set) << ", row " << i << " of " << work.size();
        }
      }
      for (const Engine::SequenceId id : ids) s.engine->close(id);
    }
  }
  (void)Env::real().remove(path).ok();
}

INSTANTIATE_TEST_SUITE_P(Formats, EngineFormats,
                         testing::Combine(testing::Values("deepseek-v2-lite", "r1-distill-qwen-1.5b"),
                                          testing::Values("Q4_0", "Q4_K_M", "Q8_0", "BF16")),
                         [](const auto& info) {
                           std::string out = std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                           for (char& c : out) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return out;
                         });

TEST(EngineErrors, AStepThatCannotBeDoneMovesNothing) {
  const Golden golden = read_golden("deepseek_v3");
  const Fixture s = make_engine(golden, {available_kernel_sets().back(), false}, CacheType::bf16, 128);
  const auto a = s.engine->open(0).value(), b = s.engine->open(0).value();
  const std::vector<int32_t> good(100, 5), bad = {5, 96};
  const std::vector<int32_t> too_many(129, 5);
  auto step = [&](std::vector<Engine::Work> work) { return s.engine->step(work).status(); };
  EXPECT_EQ(step({{a, good, 1}, {b, bad, 1}}).code(), Code::invalid_argument);
  EXPECT_EQ(step({{a, good, 1}, {a, good, 1}}).code(), Code::invalid_argument);
  EXPECT_EQ(step({{a, too_many, 1}}).code(), Code::invalid_argument);
  EXPECT_EQ(step({{77, good, 1}}).code(), Code::not_found);
  EXPECT_EQ(s.engine->length(a), 0);
  EXPECT_TRUE(step({{a, good, 1}}).ok());
  EXPECT_EQ(step({{b, good, 1}}).code(), Code::resource_exhausted) << "the cache has one page";
  EXPECT_EQ(s.engine->length(b), 0);
  EXPECT_EQ(s.engine->length(a), 100);
  EXPECT_FALSE(s.engine->fork(a).ok()) << "no page for the copy";
  EXPECT_FALSE(s.engine->truncate(a, 101).ok());
}

TEST(EngineErrors, ACutThatHasNoRoomLeavesTheSequence) {
  const Golden golden = read_golden("deepseek_v3");
  const std::vector<int32_t> tokens(128, 5);
  const Fixture s = make_engine(golden, {available_kernel_sets().back(), false}, CacheType::bf16, 384);
  const auto one = s.engine->open(0).value();
  const std::span first(tokens);
  ASSERT_TRUE(s.engine->step(std::vector<Engine::Work>{{one, first, 1}}).ok());
  ASSERT_TRUE(s.engine->step(std::vector<Engine::Work>{{one, first, 1}}).ok());
  const auto two = s.engine->fork(one).value();  // shares both pages, which are full
  const auto three = s.engine->open(0).value();
  ASSERT_TRUE(s.engine->step(std::vector<Engine::Work>{{three, first, 1}}).ok());
  ASSERT_EQ(s.engine->free_pages(), 0);
  EXPECT_EQ(s.engine->truncate(one, 60).code(), Code::resource_exhausted);
  EXPECT_EQ(s.engine->length(one), 256);
  s.engine->close(three);
  ASSERT_TRUE(s.engine->truncate(one, 200).ok());
  const Rows gone_on = feed(*s.engine, one, first.first(9), {9});
  s.engine->close(one);
  s.engine->close(two);
  const Rows whole = fresh(*s.engine, std::vector<int32_t>(209, 5), {64}, 0);
  EXPECT_EQ(gone_on, Rows(whole.begin() + static_cast<long>(200 * golden.vocab), whole.end()));
}

TEST(MemoryEstimate, SaysWhatDoesNotFit) {
  const Golden golden = read_golden("deepseek_v3");
  auto source = ModelSource::open(Env::real(), write_golden_model(golden, Json()));
  ASSERT_TRUE(source.ok());
  auto model = describe_model(*source);
  ASSERT_TRUE(model.ok());
  EngineOptions options;
  const MemoryEstimate estimate = estimate_memory(*model, options, int64_t{1} << 30);
  EXPECT_EQ(options.context, golden.config["max_position_embeddings"].integer());
  EXPECT_EQ(estimate.cache_per_position, 3 * (32 + 16) * 2) << "three layers of latent and rotary key in bf16";
  EXPECT_GE(estimate.weights, model->parameters() * 4);
  EXPECT_TRUE(check_memory(estimate, estimate.total()).ok());
  const Status refused = check_memory(estimate, estimate.total() - 1);
  EXPECT_EQ(refused.code(), Code::resource_exhausted);
  EXPECT_NE(refused.message().find("MB"), std::string::npos);
}

}  // namespace
}  // namespace landfall
