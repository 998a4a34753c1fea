// From one row of JSON to an Example. Pure functions; errors name the field and what stands there instead.
#pragma once

#include <optional>

#include "base/json.h"
#include "data/examples.h"

namespace landfall {

// The shape whose fields the row has. A preference has most fields and is asked for first.
std::optional<RowShape> shape_of(const Json& row);

// `shape` must be shape_of(row). Everything but the line.
Result<Example> example_of(RowShape shape, const Json& row);

}  // namespace landfall
