// Whether a training run fits in memory: what can be known before data are read and weights are loaded, and how it is
// said. What a run takes once it is set up is Trainer::memory_bytes().
#pragma once

#include <cstdint>
#include <string>

#include "train/optimizer.h"
#include "train/trainable.h"

namespace landfall {

// The least that a run holds of so many trained numbers: values, what steps see, gradients and moments.
int64_t least_training_bytes(int64_t numbers, Precision precision, const OptimizerOptions& optimizer);

// resource_exhausted when it does not fit; `advice` says what can be made smaller.
Status check_training_memory(int64_t needed, int64_t available, const std::string& advice);

}  // namespace landfall
