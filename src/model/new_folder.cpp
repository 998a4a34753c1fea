#include "model/new_folder.h"

namespace landfall {

Status write_folder(Env& env, const std::string& path, const std::function<Status(const std::string& folder)>& fill) {
  std::string name = path;
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  if (env.exists(name)) {
    const auto entries = env.list(name);
    if (!entries.ok() || !entries->empty())
      return Status(Code::invalid_argument, "'" + name + "' is there already; name a new folder");
  }
  const std::string partial = name + ".partial";
  LANDFALL_TRY(remove_folder(env, partial));  // of a run that was killed
  LANDFALL_TRY(env.make_directories(partial));
  Status written = fill(partial);
  if (written.ok()) written = env.rename(partial, name);
  if (!written.ok()) (void)!remove_folder(env, partial).ok();
  return written;
}

}  // namespace landfall
