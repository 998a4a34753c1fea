// How fast an engine reads prompts and generates, for `landfall bench`: rates, each with a reading of the bandwidth in
// the same moment, because other programs move it by half between minutes.
#pragma once

#include <vector>

#include "base/env.h"
#include "runtime/drafting.h"
#include "runtime/engine.h"
#include "tensor/probe.h"

namespace landfall {

struct BenchWork {
  int64_t prompt = 512;   // tokens read by one sequence; 0: not measured
  int64_t generate = 64;  // tokens that each sequence generates; 0: not measured
  int64_t past = 0;       // tokens that each has in the cache before it generates
  int64_t sequences = 1;  // generating together
  int64_t repeats = 5;

  // Latent attention reads a long prompt in its expanded form.
  bool expanded(const Model& model) const { return model.config().kv_lora > 0 && prompt >= 128; }
  // The engine's options that hold all of it.
  void size(EngineOptions& options) const;
};

struct BenchSamples {
  std::vector<double> prefill;        // tokens per second
  std::vector<double> decode;         // tokens per second of all sequences together
  std::vector<double> bandwidth;      // bytes per second, around each decode
  std::vector<double> drafting;       // tokens per second of all sequences together, with guesses
  int64_t drafted = 0, accepted = 0;  // tokens of one such run
};

Result<BenchSamples> bench_model(Env& env, Engine& engine, BandwidthProbe& probe, const BenchWork& work);

// Adds runs in which each sequence answers `past` tokens greedily with guesses: what is guessed depends on the answers,
// and answers to arbitrary tokens repeat themselves more than others.
Status bench_drafting(Env& env, Engine& engine, const Drafting& drafting, const BenchWork& work, BenchSamples& samples);

struct Spread {
  double median = 0, low = 0, high = 0;
};
Spread spread(std::vector<double> values);

}  // namespace landfall
