// How fast a model trains here, for `landfall bench --training`: whole steps, from a batch to weights that the next
// step sees, each with a reading of what the processor can multiply at most in the same moment.
#pragma once

#include "cli/command.h"
#include "runtime/engine.h"

namespace landfall {

// Measures and prints what --prompt (tokens of a sequence), --sequences, --repeats and --recompute of the command line
// say: every weight of MODEL is trained, on arbitrary tokens.
Status bench_training(CommandContext& context, const EngineOptions& options);

}  // namespace landfall
