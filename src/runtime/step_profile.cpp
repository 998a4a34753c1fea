#include "runtime/step_profile.h"

#include <algorithm>
#include <cstring>

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

// Reads the step, cut into batches. Sequences are numbered from 0, as a new KvCache does.
void read(Reader& reader, const Model& model, const EngineOptions& options, const StepShape& shape, ThreadPool& pool,
          Arena& arena, KvView& cache) {
  const int64_t at_once = std::max<int64_t>(1, options.batch / shape.sequences);
  for (int64_t done = 0; done < shape.rows; done += at_once) {
    Rows rows;
    for (int64_t s = 0; s < shape.sequences; ++s) {
      rows.add(model.config().vocab, static_cast<int32_t>(s), shape.past + done, std::min(at_once, shape.rows - done),
               shape.expanded);
    }
    arena.reset();
    const Batch batch{rows.tokens, rows.positions, rows.runs, rows.wanted};
    Ctx ctx = make_ctx(reader, options.device, pool, arena, batch, &cache);
    (void)forward(ctx, model);
  }
}

KvCache cache_for(const Model& model, const EngineOptions& options, int64_t positions) {
  return {model.architecture().cache(model.config()), options.cache_type, positions};
}

// Small numbers of any type into all pages: memory that was never written is one page of zeros, read from the
// processor's own cache.
void fill(KvCache& cache, const Model& model, int32_t sequence) {
  const std::vector<CacheSlot> slots = model.architecture().cache(model.config());
  for (size_t slot = 0; slot < slots.size(); ++slot) {
    const int64_t bytes = kPagePositions * cache_row_bytes(cache.type(), slots[slot].width);
    for (std::byte* page : cache.pages(static_cast<int>(slot), sequence))
      std::memset(page, 0x3c, static_cast<size_t>(bytes));
  }
}

}  // namespace

Cost count_step(const Model& model, const EngineOptions& options, const StepShape& shape) {
  CountReader reader;
  ThreadPool pool(1);
  Arena arena;
  KvCache cache = cache_for(model, options, 0);  // only its type is asked for
  read(reader, model, options, shape, pool, arena, cache);
  return reader.total();
}

std::vector<ProfileReader::Event> profile_step(Env& env, const Model& model, const EngineOptions& options,
                                               const StepShape& shape, int64_t repeats) {
  const int64_t pages = (shape.past + shape.rows + kPagePositions - 1) / kPagePositions;
  KvCache cache = cache_for(model, options, pages * kPagePositions * shape.sequences);
  for (int64_t s = 0; s < shape.sequences; ++s) {
    const auto sequence = cache.open(0);
    LANDFALL_CHECK(sequence.ok() && *sequence == s);
    cache.extend(*sequence, shape.past + shape.rows);
    fill(cache, model, *sequence);
  }
  ThreadPool pool(options.threads);
  Arena arena;
  std::vector<ProfileReader> runs;
  for (int64_t r = -1; r < repeats; ++r) {
    ProfileReader reader(env);
    read(reader, model, options, shape, pool, arena, cache);
    if (r >= 0) runs.push_back(std::move(reader));
  }
  const auto middle = runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2);
  std::nth_element(runs.begin(), middle, runs.end(),
                   [](const ProfileReader& a, const ProfileReader& b) { return a.seconds() < b.seconds(); });
  return middle->events();
}

}  // namespace landfall
