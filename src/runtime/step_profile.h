// One step of a model, operator by operator: what it has to do, by the count reading, and how long it took.
#pragma once

#include <vector>

#include "base/env.h"
#include "runtime/engine.h"
#include "tensor/profile.h"

namespace landfall {

struct StepShape {
  int64_t rows = 1;       // new tokens of each sequence; those of a long prompt are cut into batches as an Engine does
  int64_t past = 0;       // positions that each has in the cache already
  int64_t sequences = 1;  // in the step together
  bool expanded = false;  // latent attention
};

// Operations and bytes of all of it.
Cost count_step(const Model& model, const EngineOptions& options, const StepShape& shape);

// Runs the step `repeats` times after one to warm up, behind positions that hold zeros, and returns the one of median
// duration. The options must be as settled by estimate_memory; the cache is the profile's own.
std::vector<ProfileReader::Event> profile_step(Env& env, const Model& model, const EngineOptions& options,
                                               const StepShape& shape, int64_t repeats);

}  // namespace landfall
