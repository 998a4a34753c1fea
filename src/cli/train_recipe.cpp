#include "cli/train_recipe.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/cpu.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "cli/training_flags.h"
#include "cli/training_watch.h"
#include "lifecycle/tide.h"

namespace landfall {
namespace {

constexpr std::string_view kTaken[] = {"recipe",        "out",  "corpus",     "tokens", "parameters", "optimizer",
                                       "learning-rate", "seed", "save-every", "report", "threads"};

// "page-chat.html": each stage has a page of its own.
std::string page_of(const std::string& report, std::string_view stage) {
  if (report.empty()) return report;
  const std::string_view name = file_name(report);
  const size_t ending = name.size() - std::min(name.rfind('.'), name.size());
  return std::string(report).insert(report.size() - ending, "-" + std::string(stage));
}

}  // namespace

Status train_recipe(CommandContext& context) {
  const Arguments& a = context.arguments;
  if (a.text("recipe") != "tide")
    return Status(Code::invalid_argument, "there is no recipe '" + a.text("recipe") + "'; 'tide' is one");
  for (const auto& [name, values] : a.values) {
    if (name == "MODEL" || name == "DATA")
      return Status(Code::invalid_argument, "a recipe begins from nothing; '" + values[0] + "' is not needed");
    if (std::find(std::begin(kTaken), std::end(kTaken), name) == std::end(kTaken))
      return Status(Code::invalid_argument, "--" + name + " is the recipe's own; give the command without it");
  }
  TideOptions options{.folder = a.text("out", "tide"), .corpus = a.text("corpus")};
  options.shape = "tide-" + a.text("parameters", "5m");
  LANDFALL_ASSIGN(options.tokens, integer(a, "tokens", options.tokens, 1, int64_t{1} << 40));
  LANDFALL_ASSIGN(options.learning_rate, number(a, "learning-rate", options.learning_rate, 1e-9, 10));
  LANDFALL_ASSIGN(options.optimizer, chosen_optimizer(a, "muon"));
  options.seed = static_cast<uint64_t>(a.integer("seed", 0));
  LANDFALL_ASSIGN(options.save_every, integer(a, "save-every", options.save_every, 1, 1'000'000));
  LANDFALL_ASSIGN(options.kernels, chosen_kernel_set());
  LANDFALL_ASSIGN(const int64_t threads, chosen_threads(a));

  const std::string report = a.text("report");
  LANDFALL_TRY(context.env.make_directories(options.folder));
  LANDFALL_TRY(TrainingWatch::check_page(context.env, page_of(report, "pretraining")));

  ThreadPool pool(static_cast<int>(threads));
  const InterruptGuard interrupt;
  std::unique_ptr<Progress> progress;
  const auto shown = [&](const std::string& what, const std::string& unit) {
    return [&progress, &context, what, unit](uint64_t done, uint64_t total) {
      if (!progress) progress = std::make_unique<Progress>(context.env, what, unit);
      progress->update(done, total);
      if (done == total) progress.reset();
    };
  };
  TideHooks hooks;
  hooks.watch.progress = shown("reading", "");
  hooks.questions = shown("answering", "questions");
  hooks.watch.note = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  hooks.watch.cancelled = stop_requested;
  hooks.training = [&](const std::string& folder, const std::function<Status(const TrainerHooks&)>& train) -> Status {
    LANDFALL_ASSIGN(const auto watch, TrainingWatch::open(context.env, folder, page_of(report, file_name(folder))));
    const Status trained = train(watch->hooks());
    LANDFALL_TRY(watch->close());
    return trained;
  };
  LANDFALL_ASSIGN(const TideResult result, train_tide(context.env, pool, options, hooks));
  std::fprintf(stderr,
               "held-out perplexity: %.2f of general text after pretraining, %.2f of conversations\n"
               "the model is %s; try: landfall run %s\n",
               std::exp(result.general_loss), std::exp(result.chat_loss), result.model.c_str(), result.model.c_str());
  for (const TideScore& s : result.scores) {
    std::fprintf(stderr, "%s: %lld of %lld questions right\n", s.task.c_str(), static_cast<long long>(s.right),
                 static_cast<long long>(s.items));
  }
  return {};
}

}  // namespace landfall
