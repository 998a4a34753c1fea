#include <cstdio>

#include "cli/command.h"
#include "cli/long_work.h"
#include "cli/terminal.h"
#include "lifecycle/store.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "PATH",
     .help = "a GGUF file (any part of a split one), or a folder with config.json and safetensors",
     .required = true},
    {.name = "name", .help = "what to call it", .otherwise = "the name of the file or folder"},
    {.name = "link", .kind = Flag::Kind::toggle, .help = "leave the files where they are and only remember them"},
    {.name = "pack",
     .kind = Flag::Kind::toggle,
     .help = "write the weights as the kernels want them, so that the model starts at once and memory holds one copy"},
};

Status run(CommandContext& context) {
  LANDFALL_ASSIGN(Store store, Store::open(context.env));
  const std::string path = context.arguments.text("PATH");
  StoredModel model;
  {
    LongWork work(context.env, "importing " + path);
    LANDFALL_ASSIGN(
        model, store.import_model(
                   path, {context.arguments.text("name"), context.arguments.has("link"), context.arguments.has("pack")},
                   work.watch));
  }
  if (context.json) {
    std::printf("%s\n", Json()
                            .set("name", model.name)
                            .set("path", model.path())
                            .set("bytes", model.bytes())
                            .set("linked", model.linked)
                            .dump(2)
                            .c_str());
  } else {
    std::printf("%s is in the store, %s%s; try: landfall run %s\n", model.name.c_str(),
                human_bytes(model.bytes()).c_str(), model.linked ? " that stay where they are" : "",
                model.name.c_str());
  }
  return {};
}

}  // namespace

extern const Command k_import;
const Command k_import = {
    .name = "import",
    .help = "put a model from this machine's files into the store",
    .example =
        "landfall import ~/Downloads/DeepSeek-R1-Distill-Qwen-1.5B-Q4_K_M.gguf --name r1-small\n"
        "landfall import /data/deepseek-llm-7b-chat --link\n"
        "landfall import v2-lite.Q4_0.gguf --pack --name v2-lite",
    .flags = kFlags,
    .has_json = true,
    .run = run,
};

}  // namespace landfall
