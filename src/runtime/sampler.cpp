#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>

namespace landfall {
namespace {

// Uniform in [0, 1) from seed and position: splitmix64 of both.
double uniform(uint64_t seed, int64_t position) {
  uint64_t z = seed * 0x9e3779b97f4a7c15ull + (static_cast<uint64_t>(position) + 1) * 0xd1342543de82ef95ull;
  for (int round = 0; round < 2; ++round) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
  }
  return static_cast<double>(z >> 11) * 0x1p-53;
}

Status out_of_range(const char* name, double value, const char* range) {
  return Status(Code::invalid_argument,
                std::string(name) + " is " + std::to_string(value) + "; " + range + " is possible");
}

using Candidate = SamplerScratch::Candidate;

// More likely first; ties go to the lower id.
bool before(const Candidate& a, const Candidate& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }

// Logits that are looked at together: small enough to stay in the first cache, large enough that most blocks hold no
// candidate and cost one comparison beside their maximum.
constexpr size_t kBlock = 256;

// NaN aside; -infinity when nothing is left. A maximum for each lane, because the compiler may not reorder one.
float largest(std::span<const float> values) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, -INFINITY);
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t l = 0; l < kLanes; ++l) lanes[l] = values[i + l] > lanes[l] ? values[i + l] : lanes[l];
  }
  for (; i < values.size(); ++i) lanes[0] = values[i] > lanes[0] ? values[i] : lanes[0];
  return *std::max_element(lanes, lanes + kLanes);
}

// Candidates in order of likelihood, sorted only as far as they are asked for: with the usual settings the first few of
// a hundred thousand decide. `best` and `unit` (the temperature) say where the first stretch may end.
class InOrder {
 public:
  InOrder(std::span<Candidate> candidates, float best, float unit)
      : candidates_(candidates), best_(best), distance_(unit) {}

  const Candidate& operator[](size_t i) {
    while (i >= sorted_) sort_more();
    return candidates_[i];
  }

 private:
  // The candidates down to a distance from the best that doubles each time.
  void sort_more() {
    distance_ *= 2;
    const float least = best_ - distance_;
    const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted_);
    const auto end = std::partition(begin, candidates_.end(), [&](const Candidate& c) { return c.logit >= least; });
    std::sort(begin, end, before);
    sorted_ = static_cast<size_t>(end - candidates_.begin());
  }

  std::span<Candidate> candidates_;
  float best_, distance_;
  size_t sorted_ = 0;
};

}  // namespace

Status check_sampler(const SamplerSettings& s) {
  if (!(s.temperature >= 0 && s.temperature <= 100)) return out_of_range("temperature", s.temperature, "0 to 100");
  if (s.top_k < 0) return out_of_range("top_k", s.top_k, "0 (off) or more");
  if (!(s.top_p > 0 && s.top_p <= 1)) return out_of_range("top_p", s.top_p, "more than 0 and at most 1");
  if (!(s.min_p >= 0 && s.min_p <= 1)) return out_of_range("min_p", s.min_p, "0 to 1");
  if (!(s.repetition_penalty > 0 && s.repetition_penalty <= 10))
    return out_of_range("repetition_penalty", s.repetition_penalty, "more than 0 and at most 10");
  if (!(std::fabs(s.frequency_penalty) <= 2)) return out_of_range("frequency_penalty", s.frequency_penalty, "-2 to 2");
  if (!(std::fabs(s.presence_penalty) <= 2)) return out_of_range("presence_penalty", s.presence_penalty, "-2 to 2");
  return {};
}

Sampler::Sampler(const SamplerSettings& settings, std::span<const int32_t> prompt)
    : settings_(settings),
      position_(static_cast<int64_t>(prompt.size())),
      penalties_(settings.repetition_penalty != 1.0f || settings.frequency_penalty != 0.0f ||
                 settings.presence_penalty != 0.0f) {
  if (!penalties_) return;
  for (int32_t id : prompt) seen_.push_back({id, 0});
  std::sort(seen_.begin(), seen_.end(), [](const Seen& a, const Seen& b) { return a.id < b.id; });
  seen_.erase(std::unique(seen_.begin(), seen_.end(), [](const Seen& a, const Seen& b) { return a.id == b.id; }),
              seen_.end());
}

void Sampler::accept(int32_t token) {
  ++position_;
  if (!penalties_) return;
  auto it = std::lower_bound(seen_.begin(), seen_.end(), token, [](const Seen& s, int32_t id) { return s.id < id; });
  if (it == seen_.end() || it->id != token) it = seen_.insert(it, {token, 0});
  ++it->count;
}

float Sampler::penalised(float logit, int32_t count) const {
  logit = logit > 0 ? logit / settings_.repetition_penalty : logit * settings_.repetition_penalty;
  return logit -
         (settings_.frequency_penalty * static_cast<float>(count) + (count > 0 ? settings_.presence_penalty : 0.0f));
}

// take(id of the first, logits) for all in order of ids; a seen token is a block of its own, with its penalties.
template <class Take>
void Sampler::for_each_block(std::span<const float> logits, Take take) const {
  size_t at = 0;
  auto take_until = [&](size_t end) {
    for (; at < end; at += std::min(kBlock, end - at)) take(at, logits.subspan(at, std::min(kBlock, end - at)));
  };
  for (const Seen& s : seen_) {
    const auto id = static_cast<size_t>(s.id);
    if (id >= logits.size()) break;
    take_until(id);
    const float changed = penalised(logits[id], s.count);
    take(at++, std::span<const float>(&changed, 1));
  }
  take_until(logits.size());
}

int32_t Sampler::most_likely(std::span<const float> logits) const {
  float best = -INFINITY;
  size_t id = 0;
  for_each_block(logits, [&](size_t first, std::span<const float> block) {
    const float most = largest(block);
    if (!(most > best)) return;
    best = most;
    id = first + static_cast<size_t>(std::find(block.begin(), block.end(), most) - block.begin());
  });
  return static_cast<int32_t>(id);
}

int32_t Sampler::draw(std::span<const float> logits, SamplerScratch& scratch) const {
  const SamplerSettings& s = settings_;
  if (s.temperature == 0.0f) return most_likely(logits);

  // Candidates are collected against the best one so far. Tokens less likely than e^-30 of the best one together never
  // matter; nor do those behind the k-th, where k is given: when there are many, the k best are kept, and from then on
  // a token must exceed the last of them, since ties go to the lower id.
  const float reach = 30.0f * std::max(s.temperature, 0.05f);
  const auto top_k = static_cast<size_t>(s.top_k);
  std::vector<Candidate>& kept = scratch.candidates;
  kept.clear();
  float best = -INFINITY, floor = -INFINITY;
  auto keep_top_k = [&] {
    std::nth_element(kept.begin(), kept.begin() + (s.top_k - 1), kept.end(), before);
    kept.resize(top_k);
  };
  for_each_block(logits, [&](size_t first, std::span<const float> block) {
    const float most = largest(block);
    if (most < floor) return;
    if (most > best) best = most;
    floor = std::max(floor, best - reach);
    for (size_t i = 0; i < block.size(); ++i) {
      if (block[i] >= floor) kept.push_back({block[i], static_cast<int32_t>(first + i)});
    }
    if (top_k > 0 && kept.size() >= 2 * top_k + kBlock) {
      keep_top_k();
      floor = std::max(floor, std::nextafter(kept.back().logit, INFINITY));
    }
  });
  if (!std::isfinite(best)) return most_likely(logits);
  std::erase_if(kept, [&](const Candidate& c) { return c.logit < best - reach; });
  if (top_k > 0 && top_k < kept.size()) keep_top_k();

  auto weight_of = [&](const Candidate& c) {
    return std::exp((static_cast<double>(c.logit) - best) / s.temperature);  // 1 for the best
  };
  double sum = 0;
  for (const Candidate& c : kept) sum += weight_of(c);
  InOrder ordered(kept, best, s.temperature);
  std::vector<double>& weights = scratch.weights;
  weights.clear();
  size_t count = kept.size();
  if (s.top_p < 1.0f || s.min_p > 0.0f) {
    const double enough = s.top_p * sum;
    for (sum = 0; weights.size() < count; sum += weights.back()) {
      const double weight = weight_of(ordered[weights.size()]);
      if (!weights.empty() && (sum >= enough || weight < s.min_p)) break;
      weights.push_back(weight);
    }
    count = weights.size();
  }
  double left = uniform(s.seed, position_) * sum;
  for (size_t i = 0; i + 1 < count; ++i) {
    left -= i < weights.size() ? weights[i] : weight_of(ordered[i]);
    if (left < 0) return ordered[i].id;
  }
  return ordered[count - 1].id;
}

}  // namespace landfall
