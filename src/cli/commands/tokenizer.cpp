// tokenizer: learns one from text, for a model that begins from nothing.
#include <cstdio>

#include "cli/command.h"
#include "cli/long_work.h"
#include "data/examples.h"
#include "data/train_tokenizer.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "ACTION", .help = "train", .required = true},
    {.name = "TEXT", .help = "files or folders, as 'landfall train' takes them", .repeated = true},
    {.name = "vocabulary", .kind = Flag::Kind::integer, .help = "tokens in all", .otherwise = "4096"},
    {.name = "out", .help = "the new folder", .otherwise = "tokenizer"},
};

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  if (a.text("ACTION") != "train")
    return Status(Code::invalid_argument, "there is no 'landfall tokenizer " + a.text("ACTION") + "'; 'train' is one");
  LANDFALL_ASSIGN(const std::vector<std::string> files, example_files(context.env, a.texts("TEXT")));
  if (files.empty()) return Status(Code::invalid_argument, "name at least one file of text to learn from");
  const std::string out = a.text("out", "tokenizer");
  const double start = context.env.seconds();
  Result<TokenizerSpec> spec = Status(Code::internal, "");
  {
    LongWork work(context.env, "reading");
    TokenizerTraining options{.vocabulary = a.integer("vocabulary", 4096)};
    options.reading = [&](uint64_t done, uint64_t total) {
      work.watch.at(done, total);
      return !work.watch.stop();
    };
    options.merging = [&](uint64_t, uint64_t) { return !work.watch.stop(); };
    spec = train_tokenizer(context.env, files, options);
  }
  LANDFALL_TRY(spec.status());
  LANDFALL_TRY(write_tokenizer(context.env, out, *spec));
  const double seconds = context.env.seconds() - start;
  if (context.json) {
    Json json;
    json.set("folder", out).set("tokens", spec->tokens.size()).set("merges", spec->merges.size());
    std::printf("%s\n", json.set("seconds", seconds).dump(2).c_str());
  } else {
    std::printf("%s: %zu tokens, %zu merges, in %s\n", out.c_str(), spec->tokens.size(), spec->merges.size(),
                human_seconds(seconds).c_str());
  }
  return {};
}

}  // namespace

extern const Command k_tokenizer;
const Command k_tokenizer = {
    .name = "tokenizer",
    .help = "learn a tokenizer from your own text",
    .example = "landfall tokenizer train notes.txt letters.jsonl --vocabulary 4096 --out my-tokenizer",
    .flags = kFlags,
    .has_json = true,
    .run = run,
};

}  // namespace landfall
