// Recipes: models that are trained from nothing, for `landfall train --recipe`.
#pragma once

#include "cli/command.h"

namespace landfall {

// --recipe, --out, --corpus, --tokens, --parameters, --optimizer, --learning-rate, --seed, --save-every, --report and
// --threads of the command line.
Status train_recipe(CommandContext& context);

}  // namespace landfall
