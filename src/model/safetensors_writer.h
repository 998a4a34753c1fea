// Writes a safetensors file whose tensors may be larger than memory: their rows are asked for piece by piece. The file
// appears under its name only when it is whole; after an error, a full disk or a cancelled run nothing is left.
// Source: the safetensors format description.
#pragma once

#include <span>
#include <string>

#include "model/tensor_file.h"

namespace landfall {

// Tensors in F32, F16 or BF16; let those in F32 go first: the format leaves no room between tensors to align them.
// The first begins at a multiple of 64 bytes. The metadata says {"format": "pt"}, which transformers asks for.
// progress(bytes done, bytes of all) returning false cancels.
Status write_safetensors(Env& env, const std::string& path, std::span<const OutputTensor> tensors, const FillRows& fill,
                         const WriteProgress& progress);

}  // namespace landfall
