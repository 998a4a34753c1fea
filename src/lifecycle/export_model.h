// Models written for other programs (model/write_model.h), and what that shares with packing: all weights are held.
#pragma once

#include <string>

#include "base/env.h"
#include "lifecycle/watch.h"
#include "model/write_model.h"

namespace landfall {

// Loads the weights of a described model. `work` is what is to be done with them, for the message when memory is short
// (resource_exhausted). Half of the bytes that are told are these, the other half those to be written.
Status load_to_write(Env& env, const ModelSource& source, ThreadPool& pool, const std::string& work, Model& model,
                     const Watch& watch);

// Writes the model at `path` to `out`, where nothing may be yet. What cannot be written is known before weights are
// loaded; after an error nothing is left.
Status export_model(Env& env, const std::string& path, const WriteAs& as, const std::string& out, int threads,
                    const Watch& watch);

}  // namespace landfall
