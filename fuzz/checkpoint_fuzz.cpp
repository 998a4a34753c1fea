// A hostile checkpoint: the input is state.json, a zero byte, and manifest.json as it stands, or nothing behind the
// zero byte for a sound manifest of that state.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "memory_env.h"
#include "train/checkpoint.h"

using namespace landfall;

namespace {

std::string sound_manifest(std::string_view state) {
  Digest digest;
  digest.update(std::as_bytes(std::span(state)));
  Json file, manifest;
  file.set("name", "state.json").set("bytes", state.size()).set("sha256", digest.hex());
  return manifest.set("version", 1).set("step", 1).set("files", Json(Json::Array{std::move(file)})).dump();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = std::min(input.find('\0'), input.size());
  const std::string_view state = input.substr(0, zero), manifest = input.substr(std::min(zero + 1, input.size()));
  MemoryEnv env;
  env.add("c/step-00000001/state.json", state);
  env.add("c/step-00000001/manifest.json", manifest.empty() ? sound_manifest(state) : manifest);
  const Result<Checkpoint> checkpoint = CheckpointFolder(env, "c", 1).read(1);
  if (!checkpoint.ok()) {
    LANDFALL_CHECK(!checkpoint.status().message().empty());
    return 0;
  }
  const auto part = checkpoint->parts.find("state.json");
  LANDFALL_CHECK(part != checkpoint->parts.end() && part->second->bytes().size() == state.size());
  return 0;
}
