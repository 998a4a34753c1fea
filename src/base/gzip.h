// Files that gzip packed (RFC 1952), dictzip's among them, which are ordinary members with an index in the header.
// Pure; safe from any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace landfall {

// The content of all members in order. data_loss for a truncated or damaged file, resource_exhausted when the content
// is longer than `limit` bytes.
Result<std::string> gunzip(std::string_view packed, size_t limit);

}  // namespace landfall
