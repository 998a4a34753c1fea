#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "runtime/stop_matcher.h"

namespace landfall {
namespace {

int32_t sample(std::span<const float> logits, const SamplerSettings& settings, std::span<const int32_t> prompt,
               std::span<const int32_t> answer) {
  Sampler sampler(settings, prompt);
  for (int32_t token : answer) sampler.accept(token);
  SamplerScratch scratch;
  return sampler.draw(logits, scratch);
}

// The definition, step by step over the whole vocabulary.
int32_t plain_sample(std::span<const float> raw, const SamplerSettings& s, std::span<const int32_t> prompt,
                     std::span<const int32_t> answer) {
  std::vector<float> logits(raw.begin(), raw.end());
  std::map<int32_t, int> seen;  // occurrences in the answer
  for (int32_t id : prompt) seen.emplace(id, 0);
  for (int32_t id : answer) ++seen[id];
  for (const auto& [id, count] : seen) {
    float& logit = logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / s.repetition_penalty : logit * s.repetition_penalty;
    logit -= s.frequency_penalty * static_cast<float>(count) + (count > 0 ? s.presence_penalty : 0.0f);
  }
  std::vector<int32_t> ids;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) ids.push_back(static_cast<int32_t>(i));
  }
  auto logit = [&](int32_t id) { return logits[static_cast<size_t>(id)]; };
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return logit(a) > logit(b); });
  if (ids.empty() || logit(ids[0]) == -INFINITY) return 0;
  const float best = logit(ids[0]);
  if (s.temperature == 0.0f || !std::isfinite(best)) return ids[0];
  std::erase_if(ids, [&](int32_t id) { return logit(id) < best - 30.0f * std::max(s.temperature, 0.05f); });
  if (s.top_k > 0 && ids.size() > static_cast<size_t>(s.top_k)) ids.resize(static_cast<size_t>(s.top_k));
  std::vector<double> weights;
  double total = 0, sum = 0;
  for (int32_t id : ids)
    total += weights.emplace_back(std::exp((static_cast<double>(logit(id)) - best) / s.temperature));
  size_t count = 0;
  while (count < ids.size() && (count == 0 || (sum < s.top_p * total && weights[count] >= s.min_p)))
    sum += weights[count++];
  uint64_t z = s.seed * 0x9e3779b97f4a7c15ull + (prompt.size() + answer.size() + 1) * 0xd1342543de82ef95ull;
  for (int round = 0; round < 2; ++round) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
  }
  double left = static_cast<double>(z >> 11) * 0x1p-53 * sum;
  for (size_t i = 0; i < count; ++i) {
    left -= weights[i];
    if (left < 0) return ids[i];
  }
  return ids[count - 1];
}

// Probabilities .5 .25 .125 .0625 .0625 at temperature 1.
const std::vector<float> kLogits = {std::log(.0625f), std::log(.5f), std::log(.125f), std::log(.25f), std::log(.0625f)};

std::map<int32_t, double> frequencies(const SamplerSettings& s, int64_t draws = 20000) {
  std::map<int32_t, double> out;
  Sampler sampler(s, {});
  SamplerScratch scratch;
  for (int64_t i = 0; i < draws; ++i) {
    const int32_t token = sampler.draw(kLogits, scratch);
    out[token] += 1.0 / static_cast<double>(draws);
    sampler.accept(token);
  }
  return out;
}

TEST(Sampler, TemperatureZeroTakesTheBestAndTiesGoToTheLowerId) {
  EXPECT_EQ(sample(kLogits, {}, {}, {}), 1);
  EXPECT_EQ(sample(std::vector<float>{1, 3, 3, 2}, {}, {}, {}), 1);
  EXPECT_EQ(sample(std::vector<float>{-INFINITY, -5}, {.temperature = 1}, {}, {}), 1);
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  auto f = frequencies({.temperature = 1});
  EXPECT_NEAR(f[1], .5, .015);
  EXPECT_NEAR(f[3], .25, .015);
  EXPECT_NEAR(f[2], .125, .012);
  EXPECT_NEAR(f[0], .0625, .01);
  f = frequencies({.temperature = 0.5f});  // squares: .25 .0625 .015625 2 * .00390625, sum .3359
  EXPECT_NEAR(f[1], .7442, .015);
  EXPECT_NEAR(f[3], .1860, .015);
}

TEST(Sampler, FiltersKeepWhatTheySay) {
  auto f = frequencies({.temperature = 1, .top_k = 2});
  EXPECT_EQ(f.size(), 2u);
  EXPECT_NEAR(f[1], 2.0 / 3, .015);
  EXPECT_EQ(frequencies({.temperature = 1, .top_p = 0.75f}).size(), 2u) << "two tokens reach .75 exactly";
  EXPECT_EQ(frequencies({.temperature = 1, .top_p = 0.76f}).size(), 3u);
  EXPECT_EQ(frequencies({.temperature = 1, .top_p = 1e-6f}).size(), 1u) << "the best one always stays";
  EXPECT_EQ(frequencies({.temperature = 1, .min_p = 0.3f}).size(), 2u);
  EXPECT_EQ(frequencies({.temperature = 1, .top_k = 1}).size(), 1u);
}

TEST(Sampler, TheDrawDependsOnSeedAndPositionOnly) {
  SamplerScratch scratch;
  Sampler a({.temperature = 1, .seed = 1}, {}), b({.temperature = 1, .seed = 2}, {});
  int same = 0, repeats = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    const int32_t now = a.draw(kLogits, scratch);
    EXPECT_EQ(now, a.draw(kLogits, scratch));
    same += now == b.draw(kLogits, scratch);
    a.accept(static_cast<int32_t>(i % 5));
    b.accept(0);
    repeats += now == a.draw(kLogits, scratch);
  }
  // Two independent draws agree with probability sum p² = .3359.
  EXPECT_NEAR(same / 1000.0, .336, .06);
  EXPECT_NEAR(repeats / 1000.0, .336, .06);
}

// Random logits of every shape that matters: peaked, flat, with ties, with infinities and what is not a number.
std::vector<float> random_logits(std::mt19937_64& random, size_t count) {
  std::normal_distribution<float> normal(0, std::uniform_real_distribution<float>(0.1f, 8)(random));
  const uint64_t kind = random() % 5;
  std::vector<float> out(count);
  for (float& x : out) x = kind == 0 ? std::round(normal(random)) : normal(random);
  if (kind == 1) out[random() % count] = 40;
  for (uint64_t i = 0; kind == 2 && i < count / 2; ++i) out[random() % count] = i % 2 == 0 ? -INFINITY : NAN;
  if (kind == 3 && random() % 8 == 0) out[random() % count] = INFINITY;
  if (kind == 4 && random() % 8 == 0) std::fill(out.begin(), out.end(), random() % 2 == 0 ? -INFINITY : NAN);
  return out;
}

TEST(Sampler, OnePassDrawsWhatTheDefinitionDraws) {
  std::mt19937_64 random(5);
  SamplerScratch scratch;
  auto one_of = [&](std::initializer_list<float> values) { return values.begin()[random() % values.size()]; };
  for (int round = 0; round < 300; ++round) {
    const size_t count = round % 100 == 0 ? 102'400 : 1 + random() % 3000;
    const SamplerSettings s{.temperature = one_of({0, 0.01f, 0.3f, 0.6f, 1, 1, 5}),
                            .top_k = static_cast<int32_t>(one_of({0, 0, 1, 3, 40, 700})),
                            .top_p = one_of({1, 1, 0.95f, 0.5f, 0.01f}),
                            .min_p = one_of({0, 0, 0.05f, 0.9f}),
                            .repetition_penalty = one_of({1, 1, 1.3f, 0.7f}),
                            .frequency_penalty = one_of({0, 0, 0.5f, -2}),
                            .presence_penalty = one_of({0, 0, 1.5f, -1}),
                            .seed = random()};
    std::vector<int32_t> prompt(random() % 50), answer;
    for (int32_t& id : prompt) id = static_cast<int32_t>(random() % count);
    Sampler sampler(s, prompt);
    for (int step = 0; step < 4; ++step) {
      const std::vector<float> logits = random_logits(random, count);
      const int32_t token = sampler.draw(logits, scratch);
      ASSERT_EQ(token, plain_sample(logits, s, prompt, answer)) << "round " << round << " step " << step;
      answer.push_back(token);
      sampler.accept(token);
    }
  }
}

TEST(Sampler, PenaltiesChangeWhatWasSeen) {
  const std::vector<float> logits = {2.0f, 1.9f, -1.0f, -1.05f};
  const std::vector<int32_t> prompt = {0}, answer = {2, 2};
  EXPECT_EQ(sample(logits, {}, prompt, {}), 0);
  EXPECT_EQ(sample(logits, {.repetition_penalty = 1.2f}, prompt, {}), 1) << "positive logits are divided";
  EXPECT_EQ(sample(std::vector<float>{-1.0f, -1.05f}, {.repetition_penalty = 1.2f}, prompt, {}), 1)
      << "negative ones multiplied";
  EXPECT_EQ(sample(logits, {.presence_penalty = 1}, prompt, {}), 0) << "the prompt does not count";
  EXPECT_EQ(sample(std::vector<float>{0, 0, 1.9f, 0}, {.frequency_penalty = 1}, {}, answer), 0)
      << "twice in the answer";
  EXPECT_EQ(sample(std::vector<float>{0, 0, 1.9f, 0}, {.presence_penalty = 1}, {}, answer), 2) << "once, however often";
}

TEST(Sampler, SettingsOutOfRangeAreNamed) {
  EXPECT_TRUE(check_sampler({}).ok());
  for (const SamplerSettings& bad :
       {SamplerSettings{.temperature = -1}, SamplerSettings{.temperature = NAN}, SamplerSettings{.top_k = -1},
        SamplerSettings{.top_p = 0}, SamplerSettings{.top_p = 1.5f}, SamplerSettings{.min_p = 2},
        SamplerSettings{.repetition_penalty = 0}, SamplerSettings{.frequency_penalty = 3},
        SamplerSettings{.presence_penalty = NAN}}) {
    EXPECT_EQ(check_sampler(bad).code(), Code::invalid_argument);
  }
  EXPECT_NE(check_sampler({.top_p = 1.5f}).message().find("top_p"), std::string::npos);
}

TEST(StopMatcher, EndsBeforeTheFirstStopHoweverTheTextIsCut) {
  const std::string text = "one STO two STOP three END";
  for (size_t cut = 1; cut <= text.size(); ++cut) {
    StopMatcher matcher({"STOP", "END", "STXX"});
    std::string out;
    for (size_t at = 0; at < text.size(); at += cut) {
      out += matcher.push(text.substr(at, cut));
      EXPECT_EQ(out.find("STOP"), std::string::npos);
    }
    out += matcher.finish();
    EXPECT_TRUE(matcher.stopped());
    EXPECT_EQ(out, "one STO two ") << cut;
  }
}

TEST(StopMatcher, WhatOnlyBeganLikeAStopComesAtTheEnd) {
  StopMatcher matcher({"###"});
  EXPECT_EQ(matcher.push("a##"), "a");
  EXPECT_EQ(matcher.push("b#"), "##b");
  EXPECT_EQ(matcher.finish(), "#");
  EXPECT_FALSE(matcher.stopped());
}

}  // namespace
}  // namespace landfall
