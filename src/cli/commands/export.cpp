// export: a model as files that other programs read (model/write_model.h).
#include <cstdio>

#include "cli/checked_flags.h"
#include "cli/long_work.h"
#include "cli/model_loading.h"
#include "lifecycle/store.h"
#include "model/gguf_types.h"
#include "model/write_model.h"

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
    {.name = "out", .help = "the new file or folder", .otherwise = "the model's name beside you"},
    kThreadsFlag,
};

std::function<bool(uint64_t, uint64_t)> steps(const LongWork& work) {
  return [&watch = work.watch](uint64_t done, uint64_t total) {
    watch.at(done, total);
    return !watch.stop();
  };
}

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  using Kind = ModelSource::Kind;
  LANDFALL_ASSIGN(const Kind layout,
                  choice<Kind>(a, "layout", "gguf", {{"gguf", Kind::gguf}, {"safetensors", Kind::hugging_face}}));
  LANDFALL_ASSIGN(const EngineOptions options, engine_options(a));
  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, a.text("MODEL")));
  LANDFALL_ASSIGN(const ModelSource source, ModelSource::open(context.env, path));
  if (!source.tokenizer) return Status(Code::unsupported, source.tokenizer_problem);
  LANDFALL_ASSIGN(Model model, describe_model(source));
  const bool gguf = layout == Kind::gguf;
  const WriteAs as = {layout, a.text("type", gguf ? "F16" : "BF16")};
  LANDFALL_TRY(check_writable(source, model, as));
  std::string name(file_name(a.text("MODEL")));
  if (name.ends_with(".gguf")) name.resize(name.size() - 5);
  const std::string out = a.text("out", gguf ? name + "-" + as.type + ".gguf" : name + "-" + as.type);
  if (context.env.exists(out)) {
    return Status(Code::invalid_argument, "'" + out + "' is there already; take it away, or name another with --out");
  }
  ThreadPool pool(options.threads);
  {
    LongWork work(context.env, "loading " + std::string(file_name(path)));
    LANDFALL_TRY(load_weights(source, pool, steps(work), model));
  }
  {
    LongWork work(context.env, "writing " + out);
    LANDFALL_TRY(write_model(context.env, pool, source, model, as, own_rows(), out, steps(work)));
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
        "landfall export ward-notes/model --type Q4_K_M\n"
        "landfall export tide/tide.gguf --layout safetensors --out tide-hf",
    .flags = kFlags,
    .has_json = true,
    .run = run,
};

}  // namespace landfall
