// corpus: open text from distribution packages as training files and examinations.
#include <cstdio>

#include "base/json.h"
#include "cli/command.h"
#include "cli/long_work.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "lifecycle/corpus.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "out", .help = "the folder to write; an earlier corpus there is replaced", .otherwise = "corpus"},
    {.name = "items", .kind = Flag::Kind::integer, .help = "questions of each examination", .otherwise = "1000"},
    {.name = "seed",
     .kind = Flag::Kind::integer,
     .help = "of what is set apart for examination, and of the order of rows",
     .otherwise = "0"},
};

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  CorpusOptions options;
  options.seed = static_cast<uint64_t>(a.integer("seed", 0));
  options.items = a.integer("items", options.items);
  if (options.items < 1 || options.items > 10'000) {
    return Status(Code::invalid_argument, "--items is " + std::to_string(options.items) + "; 1 to 10000 is possible");
  }
  const std::string out = a.text("out", "corpus");
  const auto report = [&] {
    LongWork work(context.env, "corpus");
    work.watch.progress = nullptr;  // steps of seconds, each of which is named
    return write_corpus(context.env, out, options, work.watch);
  }();
  LANDFALL_TRY(report.status());
  if (context.json) {
    Json files{Json::Array{}};
    for (const CorpusFile& file : report->files) {
      files.push(
          Json().set("name", file.name).set("rows", file.rows).set("bytes", file.bytes).set("dropped", file.dropped));
    }
    std::printf("%s\n",
                Json().set("folder", out).set("seed", options.seed).set("files", std::move(files)).dump(2).c_str());
    return {};
  }
  Table table({"FILE", ">ROWS", ">SIZE", ">DROPPED"});
  for (const CorpusFile& file : report->files) {
    table.add({file.name, std::to_string(file.rows), human_bytes(file.bytes), std::to_string(file.dropped)});
  }
  std::fputs(table.text().c_str(), stdout);
  return {};
}

}  // namespace

extern const Command k_corpus;
const Command k_corpus = {
    .name = "corpus",
    .help = "open text from distribution packages, as training files and examinations",
    .example = "landfall corpus --out corpus\nlandfall eval starter --corpus corpus",
    .flags = kFlags,
    .has_json = true,
    .run = run,
};

}  // namespace landfall
