// A model in one file whose weights lie as the kernels want them: mapped, it is ready without being read, and the file
// in the page cache is the only copy. Made from any other kind of model file.
//
//   bytes 0..7     "LNDFPACK"
//   8..11          kPackedVersion, little-endian, as all numbers here
//   12..15         zero
//   16..23         bytes of the index
//   24..31         where the weights begin: a multiple of 2 MiB
//   32..39         bytes of the weights, up to the file's end
//   40..           the index, JSON: kind of the source, configuration, tokenizer, tensors by name, type and shape
//
// The weights are one piece as load_weights() makes it, panels and all, so the version changes with the panels.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/env.h"
#include "base/result.h"

namespace landfall {

class Model;
class ModelSource;

inline constexpr uint32_t kPackedVersion = 1;

bool is_packed(std::span<const std::byte> file);

// The parts of ModelSource from such a file. What follows the index is not looked at.
Status read_packed(Env& env, const std::string& path, ModelSource& out);

// The file's bytes in order, in pieces of some megabytes. The model's weights must be loaded.
Status write_packed(const ModelSource& source, const Model& model,
                    const std::function<Status(std::span<const std::byte>)>& append);
// How many bytes that will be, as far as can be known before.
uint64_t packed_bytes(const Model& model);

}  // namespace landfall
