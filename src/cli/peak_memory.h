// The most memory that this process has held, as Linux counts it.
#pragma once

#include <cstdint>

#include "base/env.h"

namespace landfall {

// Bytes since the last reset; 0 where the system does not say.
int64_t peak_resident_bytes(Env& env);
// Where this is refused, what was held before counts too.
void reset_peak_resident_bytes(Env& env);

}  // namespace landfall
