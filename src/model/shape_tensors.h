// The tensors that files of a model hold, from its shape alone: what its architecture asks such files for.
#pragma once

#include <vector>

#include "model/model_shapes.h"
#include "model/source.h"

namespace landfall {

// By name and shape, in F32 and without data, in order of layers. `config`: shape_metadata() or shape_config() of the
// shape; `fused` as there. Divisors of frequencies are not among them.
Result<std::vector<FileTensor>> shape_tensors(ModelSource::Kind kind, const ModelShape& shape, const Json& config,
                                              bool fused);

}  // namespace landfall
