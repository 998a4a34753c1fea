// export: a model as files that other programs read (lifecycle/export_model.h).
#include <cstdio>

#include "cli/checked_flags.h"
#include "cli/long_work.h"
#include "cli/model_loading.h"
#include "lifecycle/export_model.h"
#include "lifecycle/store.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "MODEL", .help = "a name from 'landfall list', or a path", .required = true},
    {.name = "layout",
     .help = "gguf: one file, for llama.cpp and what is built on it; safetensors: a Hugging Face folder",
     .otherwise = "gguf"},
    {.name = "type",
     .help = "of its numbers: F32, BF16 or F16, for gguf also Q8_0, Q4_K_M and the others",
     .otherwise = "F16 for gguf, BF16 for safetensors"},
    {.name = "out", .help = "the new file or folder", .otherwise = "the model's name and type, here"},
    kThreadsFlag,
};

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  using Kind = ModelSource::Kind;
  LANDFALL_ASSIGN(const Kind layout,
                  choice<Kind>(a, "layout", "gguf", {{"gguf", Kind::gguf}, {"safetensors", Kind::hugging_face}}));
  LANDFALL_ASSIGN(const EngineOptions options, engine_options(a));
  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, a.text("MODEL")));
  const bool gguf = layout == Kind::gguf;
  const WriteAs as = {layout, a.text("type", gguf ? "F16" : "BF16")};
  const std::string out = a.text("out", model_name_of(a.text("MODEL")) + "-" + as.type + (gguf ? ".gguf" : ""));
  {
    LongWork work(context.env, "writing " + out);
    LANDFALL_TRY(export_model(context.env, path, as, out, options.threads, work.watch));
  }
  if (context.json) {
    std::printf("%s\n",
                Json().set("path", out).set("layout", a.text("layout", "gguf")).set("type", as.type).dump(2).c_str());
  } else {
    std::printf("%s is written; try: landfall run %s\n", out.c_str(), out.c_str());
  }
  return {};
}

}  // namespace

extern const Command k_export;
const Command k_export = {
    .name = "export",
    .help = "write a model as a GGUF file or a Hugging Face folder, for other programs",
    .example =
        "landfall export ward-notes/model.gguf --type Q4_K_M\n"
        "landfall export tide/tide.gguf --layout safetensors --out tide-hf",
    .flags = kFlags,
    .has_json = true,
    .run = run,
};

}  // namespace landfall
