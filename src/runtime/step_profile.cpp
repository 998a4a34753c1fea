#include "runtime/step_profile.h"

#include <algorithm>

namespace landfall {
namespace {

// What a step's Batch refers to.
struct Rows {
  std::vector<int32_t> tokens, positions, wanted;
  std::vector<Run> runs;

  void add(int64_t vocab, int32_t sequence, int64_t past, int64_t count, bool expanded) {
    const auto first = static_cast<int32_t>(tokens.size());
    runs.push_back({first, static_cast<int32_t>(count), static_cast<int32_t>(past), sequence, expanded});
    for (int64_t i = 0; i < count; ++i) {  // tokens from all over the vocabulary, so that all experts are chosen
      tokens.push_back(static_cast<int32_t>(((past + i + 31 * sequence) * 7919 + 13) % vocab));
      positions.push_back(static_cast<int32_t>(past + i));
    }
    wanted.push_back(first + static_cast<int32_t>(count) - 1);
  }
};

}  // namespace

std::vector<ProfileReader::Event> profile_step(Env& env, const Model& model, const EngineOptions& options,
                                               const StepShape& shape, int64_t repeats) {
  const int64_t pages = (shape.past + shape.rows + kPagePositions - 1) / kPagePositions;
  KvCache cache(model.architecture().cache(model.config()), options.cache_type,
                pages * kPagePositions * shape.sequences);
  std::vector<int32_t> sequences;
  for (int64_t s = 0; s < shape.sequences; ++s) {
    const auto sequence = cache.open(0);
    LANDFALL_CHECK(sequence.ok());
    cache.extend(*sequence, shape.past + shape.rows);
    sequences.push_back(*sequence);
  }
  ThreadPool pool(options.threads);
  Arena arena;
  const int64_t at_once = std::max<int64_t>(1, options.batch / shape.sequences);
  std::vector<ProfileReader> runs;
  for (int64_t r = -1; r < repeats; ++r) {
    ProfileReader reader(env);
    for (int64_t done = 0; done < shape.rows; done += at_once) {
      Rows rows;
      for (int32_t sequence : sequences) {
        rows.add(model.config().vocab, sequence, shape.past + done, std::min(at_once, shape.rows - done),
                 shape.expanded);
      }
      arena.reset();
      const Batch batch{rows.tokens, rows.positions, rows.runs, rows.wanted};
      Ctx ctx = make_ctx(reader, options.device, pool, arena, batch, &cache);
      (void)forward(ctx, model);
    }
    if (r >= 0) runs.push_back(std::move(reader));
  }
  const auto middle = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2);
  std::nth_element(runs.begin(), middle, runs.end(),
                   [](const ProfileReader& a, const ProfileReader& b) { return a.seconds() < b.seconds(); });
  return middle->events();
}

}  // namespace landfall
