#include "cli/model_loading.h"

#include "base/topology.h"
#include "cli/terminal.h"
#include "lifecycle/store.h"

namespace landfall {

Result<EngineOptions> engine_options(const Arguments& arguments) {
  EngineOptions options;
  options.context = arguments.integer("context", 0);
  options.threads = static_cast<int>(std::min<int64_t>(arguments.integer("threads", 0), 1024));
  if (options.context < 0 || options.context > (int64_t{1} << 30)) {
    return Status(Code::invalid_argument, "--context " + std::to_string(options.context) +
                                              " is not possible; give a number of positions, for example 4096");
  }
  if (options.threads < 0) return Status(Code::invalid_argument, "--threads must be 1 or more");
  if (options.threads == 0) options.threads = this_machine().default_threads();
  const std::string cache = arguments.text("cache-type", "bf16");
  if (cache != "bf16" && cache != "int8" && cache != "f32") {
    return Status(Code::invalid_argument, "--cache-type " + cache + " is not possible; give bf16, int8 or f32");
  }
  options.cache_type = cache == "int8" ? CacheType::int8 : cache == "f32" ? CacheType::f32 : CacheType::bf16;
  options.copy_weights = arguments.has("huge-pages");
  LANDFALL_ASSIGN(options.device.kernels, chosen_kernel_set());
  return options;
}

Result<std::string> chosen_draft(CommandContext& context) {
  const std::string draft = context.arguments.text("draft", "off");
  if (draft == "off") return std::string();
  if (draft == "ngram" || draft == "mtp") return draft;
  auto path = resolve_model(context.env, draft);
  if (!path.ok()) return path.status().within("--draft takes off, ngram, mtp or a model");
  return path;
}

Result<std::unique_ptr<Service>> load_service(CommandContext& context, const std::string& model,
                                              Service::Options options) {
  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, model));
  LANDFALL_ASSIGN(options.draft, chosen_draft(context));
  Progress progress(context.env, "loading " + std::string(file_name(path)));
  return Service::load(context.env, path, std::move(options), [&](uint64_t done, uint64_t total) {
    progress.update(done, total);
    return true;
  });
}

}  // namespace landfall
