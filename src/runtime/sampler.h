// Draws the next token from logits. The draw depends only on the logits, the settings, the tokens before it and their
// number, so a request gives the same answer whatever else is running and however its tokens are cut into steps.
// One request, one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace landfall {

struct SamplerSettings {
  float temperature = 0.0f;  // 0: the most likely token (ties: the lower id)
  int32_t top_k = 0;         // keep the k most likely; 0: all
  float top_p = 1.0f;        // keep the fewest tokens whose probability reaches p (Holtzman et al., arXiv 1904.09751)
  float min_p = 0.0f;        // keep tokens at least this fraction as likely as the most likely one
  float repetition_penalty = 1.0f;  // logits of seen tokens: divided when positive, else multiplied (arXiv 1909.05858)
  float frequency_penalty = 0.0f;   // subtracted per earlier occurrence in the answer
  float presence_penalty = 0.0f;    // subtracted once for tokens in the answer
  uint64_t seed = 0;
};

// An error that names the setting and its range.
Status check_sampler(const SamplerSettings& settings);

// Room that draws work in. It grows to the largest draw, up to 8 bytes for each token of the vocabulary, and is kept;
// all requests of a thread can share one.
struct SamplerScratch {
  struct Candidate {
    float logit;
    int32_t id;
  };
  std::vector<Candidate> candidates;
  std::vector<double> weights;
};

// Order: penalties, temperature, top-k, top-p, min-p. A copy draws as the original does.
class Sampler {
 public:
  // `prompt`: what stands before the answer.
  Sampler(const SamplerSettings& settings, std::span<const int32_t> prompt);

  // The token for the next position, in one pass over the logits. It is not accepted by that.
  int32_t draw(std::span<const float> logits, SamplerScratch& scratch) const;
  // How many tokens stand before the next one.
  int64_t position() const { return position_; }
  // `token` is the next one of the answer.
  void accept(int32_t token);

 private:
  struct Seen {
    int32_t id;
    int32_t count;  // occurrences in the answer; 0 for tokens of the prompt alone
  };
  float penalised(float logit, int32_t count) const;
  template <class Take>
  void for_each_block(std::span<const float> logits, Take take) const;
  int32_t most_likely(std::span<const float> logits) const;

  SamplerSettings settings_;
  int64_t position_;
  bool penalties_;
  std::vector<Seen> seen_;  // by id; empty without penalties
};

}  // namespace landfall
