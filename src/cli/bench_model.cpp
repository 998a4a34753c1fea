#include "cli/bench_model.h"

#include <algorithm>
#include <cstdio>

#include "cli/terminal.h"
#include "runtime/scheduler.h"

namespace landfall {
namespace {

// Tokens from all over the vocabulary, so that all experts are chosen.
std::vector<int32_t> some_tokens(const Engine& engine, int64_t count, int64_t first) {
  std::vector<int32_t> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(static_cast<int32_t>(((first + i) * 7919 + 13) % engine.model().config().vocab));
  return out;
}

Status read_prompt(Engine& engine, int32_t sequence, std::span<const int32_t> tokens) {
  const auto batch = static_cast<size_t>(engine.options().batch);
  for (size_t at = 0; at < tokens.size(); at += batch) {
    const size_t rows = std::min(batch, tokens.size() - at);
    const Engine::Work work{sequence, tokens.subspan(at, rows), at + rows == tokens.size() ? 1 : 0};
    LANDFALL_TRY(engine.step({&work, 1}).status());
  }
  return {};
}

Result<double> time_prompt(Env& env, Engine& engine, const BenchWork& work) {
  const auto tokens = some_tokens(engine, work.prompt, 0);
  LANDFALL_ASSIGN(const auto sequence, engine.open(work.expanded(engine.model()) ? work.prompt : 0));
  const double start = env.seconds();
  LANDFALL_TRY(read_prompt(engine, sequence, tokens));
  const double seconds = env.seconds() - start;
  engine.close(sequence);
  return static_cast<double>(work.prompt) / seconds;
}

Result<double> time_generation(Env& env, Engine& engine, const std::vector<int32_t>& sequences, const BenchWork& work) {
  const auto tokens = some_tokens(engine, work.generate + work.sequences, work.past);
  std::vector<Engine::Work> step(sequences.size());
  const double start = env.seconds();
  for (int64_t i = 0; i < work.generate; ++i) {
    for (size_t s = 0; s < sequences.size(); ++s)
      step[s] = {sequences[s], {tokens.data() + i + static_cast<int64_t>(s), 1}, 1};
    LANDFALL_TRY(engine.step(step).status());
  }
  const double seconds = env.seconds() - start;
  for (int32_t sequence : sequences) LANDFALL_TRY(engine.truncate(sequence, work.past));
  return static_cast<double>(work.generate * work.sequences) / seconds;
}

}  // namespace

void BenchWork::size(EngineOptions& options) const {
  options.context = std::max(prompt, past + generate);
  const int64_t page = kPagePositions;
  auto pages = [&](int64_t positions) { return (positions + page - 1) / page * page; };
  options.cache_positions = pages(prompt) + sequences * pages(past + generate);
}

Result<BenchSamples> bench_model(Env& env, Engine& engine, BandwidthProbe& probe, const BenchWork& work) {
  BenchSamples out;
  std::vector<int32_t> sequences;
  for (int64_t s = 0; work.generate > 0 && s < work.sequences; ++s) {
    LANDFALL_ASSIGN(const auto sequence, engine.open(0));
    LANDFALL_TRY(read_prompt(engine, sequence, some_tokens(engine, work.past, 31 * s)));
    sequences.push_back(sequence);
  }
  for (int64_t r = -1; r < work.repeats; ++r) {  // the first run warms up
    if (work.prompt > 0) {
      LANDFALL_ASSIGN(const double rate, time_prompt(env, engine, work));
      if (r >= 0) out.prefill.push_back(rate);
    }
    if (work.generate > 0) {
      const double before = probe.measure(env);
      LANDFALL_ASSIGN(const double rate, time_generation(env, engine, sequences, work));
      const double after = probe.measure(env);
      if (r >= 0) out.decode.push_back(rate);
      if (r >= 0) out.bandwidth.push_back((before + after) / 2);
    }
    if (stderr_is_terminal()) {
      std::fprintf(stderr, "\r\033[Krun %lld of %lld", static_cast<long long>(r + 1),
                   static_cast<long long>(work.repeats));
    }
  }
  if (stderr_is_terminal()) std::fprintf(stderr, "\r\033[K");
  for (int32_t sequence : sequences) engine.close(sequence);
  return out;
}

Status bench_drafting(Env& env, Engine& engine, const Drafting& drafting, const BenchWork& work,
                      BenchSamples& samples) {
  for (int64_t r = -1; r < work.repeats; ++r) {  // the first run warms up
    Scheduler scheduler(env, engine, {.reuse_prefix = false, .drafting = &drafting});
    double seconds = 0;
    Status failed;
    samples.drafted = samples.accepted = 0;
    for (int64_t s = 0; s < work.sequences; ++s) {
      Scheduler::Request request;
      request.prompt = some_tokens(engine, work.past, 31 * s);
      request.limit = work.past + work.generate;
      request.on_done = [&](const Status& status, FinishReason, const Usage& usage) {
        if (!status.ok()) failed = status;
        seconds = std::max(seconds, usage.decode_seconds);
        samples.drafted += usage.drafted_tokens;
        samples.accepted += usage.accepted_tokens;
      };
      scheduler.submit(std::move(request));
    }
    while (!scheduler.idle()) scheduler.step();
    LANDFALL_TRY(failed);
    // The first token of each comes from the prompt.
    if (r >= 0) samples.drafting.push_back(static_cast<double>((work.generate - 1) * work.sequences) / seconds);
  }
  return {};
}

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

}  // namespace landfall
