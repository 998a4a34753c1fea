#include "cli/bench_random.h"

#include <cstdio>

#include "base/json.h"
#include "cli/long_work.h"
#include "cli/model_loading.h"
#include "model/random_model.h"

namespace landfall {

Status write_random(CommandContext& context) {
  const Arguments& a = context.arguments;
  if (!a.has("random") || !a.has("write"))
    return Status(Code::invalid_argument, "--random SHAPE and --write FILE go together");
  RandomModel what;
  LANDFALL_ASSIGN(what.shape, find_model_shape(a.text("random")));
  const int64_t layers = a.integer("layers", what.shape.layers);
  if (layers < 1 || layers > what.shape.layers) {
    return Status(Code::invalid_argument, a.text("random") + " has " + std::to_string(what.shape.layers) +
                                              " layers; --layers takes 1 to that many");
  }
  what.shape = with_layers(what.shape, layers);
  what.type = a.text("type", "Q4_0");
  what.seed = static_cast<uint64_t>(a.integer("seed", 1));
  what.fused = a.has("fused-key-values");
  what.zipf = a.has("zipf");
  const std::string path = a.text("write");
  LANDFALL_ASSIGN(const EngineOptions options, engine_options(a));
  ThreadPool pool(options.threads);
  LongWork work(context.env, "writing " + std::string(file_name(path)));
  LANDFALL_TRY(write_random_model(context.env, pool, what, path, [&](uint64_t done, uint64_t total) {
    work.watch.at(done, total);
    return !work.watch.stop();
  }));
  LANDFALL_ASSIGN(const uint64_t bytes, context.env.size(path));
  if (context.json) {
    Json out;
    out.set("file", path).set("bytes", static_cast<int64_t>(bytes)).set("shape", a.text("random"));
    out.set("type", what.type).set("layers", layers).set("seed", a.integer("seed", 1));
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    std::printf("%s: %s, %s, %lld layers\n", path.c_str(), human_bytes(bytes).c_str(), what.type.c_str(),
                static_cast<long long>(layers));
  }
  return {};
}

}  // namespace landfall
