// Digests of whole files, with progress. Free functions, safe from any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/env.h"
#include "base/result.h"
#include "lifecycle/watch.h"

namespace landfall {

// Feeds `data` to `use` in pieces of 4 MiB; stops with the Status of `use`, or when the watch says so. Progress counts
// from `before` of `total`.
Status in_pieces(std::span<const std::byte> data, const Watch& watch, uint64_t before, uint64_t total,
                 const std::function<Status(std::span<const std::byte>)>& use);

Result<std::string> sha256_of_file(Env& env, const std::string& path, const Watch& watch, uint64_t before,
                                   uint64_t total);

bool is_hex(std::string_view text, size_t digits);

}  // namespace landfall
