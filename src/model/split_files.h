// Models in several files, named `<stem>-00001-of-00003<extension>` and so on. Pure function of the names and the
// folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/result.h"

namespace landfall {

// The paths of all parts, in order, of the split model that `path` is a part of; `path` alone when its name says
// nothing of parts. not_found names the first one that is missing.
Result<std::vector<std::string>> all_parts(Env& env, const std::string& path, std::string_view extension);

}  // namespace landfall
