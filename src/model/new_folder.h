// Folders of files that belong together, which appear under their name only when all of them are whole.
#pragma once

#include <functional>
#include <string>

#include "base/env.h"

namespace landfall {

// Makes an empty folder beside `path`, lets `fill` write files into it (no folders) and renames it to `path`, where
// nothing but an empty folder may be (invalid_argument). After an error nothing is left.
Status write_folder(Env& env, const std::string& path, const std::function<Status(const std::string& folder)>& fill);

}  // namespace landfall
