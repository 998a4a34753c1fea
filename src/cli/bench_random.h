// Files of random weights, for `landfall bench --random`.
#pragma once

#include "cli/command.h"

namespace landfall {

// --random, --write, --type, --layers, --seed and --fused-key-values of the command line.
Status write_random(CommandContext& context);

}  // namespace landfall
