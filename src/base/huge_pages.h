// Whether the system backs memory with 2 MiB pages, as it says itself in /proc/self/smaps: reading large weights
// through 4 KiB pages is up to a third slower. Linux only; elsewhere all numbers are 0.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/env.h"

namespace landfall {

struct PageUse {
  int64_t resident = 0;  // bytes that are there
  int64_t huge = 0;      // of those, in 2 MiB pages
  double share() const { return resident > 0 ? static_cast<double>(huge) / static_cast<double>(resident) : 0; }
};

struct PagesInUse {
  PageUse anonymous;  // mappings of 2 MiB or more without a file
  PageUse file;       // mappings of the named file (FilePmdMapped)
};

// smaps: the text of /proc/<pid>/smaps. file: the absolute path of a mapped file, or "".
PagesInUse read_smaps(std::string_view smaps, std::string_view file);

// Of this process, now.
PagesInUse pages_in_use(Env& env, std::string_view file = "");

}  // namespace landfall
