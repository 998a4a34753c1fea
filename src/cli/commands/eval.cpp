// eval: how many questions a model answers rightly, beside another model where one is given, and whether it may have
// seen the answers.
#include <algorithm>
#include <cstdio>
#include <optional>

#include "cli/checked_flags.h"
#include "cli/interrupt.h"
#include "cli/model_loading.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "data/contamination.h"
#include "data/examples.h"
#include "lifecycle/evaluation/examinee.h"
#include "lifecycle/evaluation/perplexity.h"
#include "lifecycle/evaluation/statistics.h"
#include "lifecycle/store.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "MODEL", .help = "a name from 'landfall list', or a path", .required = true},
    {.name = "task",
     .help = "a .jsonl file of questions, a .txt file to predict, or the name of an examination of the corpus",
     .otherwise = "definitions, medicine, arithmetic and format",
     .repeated = true},
    {.name = "corpus", .help = "the folder that 'landfall corpus' wrote", .otherwise = "corpus"},
    {.name = "limit", .kind = Flag::Kind::integer, .help = "the first so many questions of each", .otherwise = "all"},
    {.name = "chat",
     .kind = Flag::Kind::toggle,
     .help = "ask in the model's own chat form; without it as 'Question: ... Answer:' for models that go on with text"},
    {.name = "against", .help = "another model that gets the same questions"},
    {.name = "contamination",
     .help = "training files or folders to look for the answers in, of any kind that 'landfall train' reads",
     .repeated = true},
    {.name = "ngram", .kind = Flag::Kind::integer, .help = "consecutive words that are a find", .otherwise = "8"},
    kThreadsFlag,
    kCacheTypeFlag,
};

constexpr size_t kOffendersShown = 5;

// A text to predict, instead of questions.
struct Text {
  std::string name, content;
};

struct Examination {
  std::vector<Task> tasks;
  std::vector<Text> texts;
};

// What one model reached.
struct Outcome {
  std::vector<std::vector<ItemAnswer>> answers;  // by task
  std::vector<Perplexity> perplexities;          // by text
};

int64_t right_ones(const std::vector<ItemAnswer>& answers) {
  return std::count_if(answers.begin(), answers.end(), [](const ItemAnswer& a) { return a.right; });
}

bool keep_on(Progress& progress, uint64_t done, uint64_t total) {
  progress.update(done, total);
  return !stop_requested();
}

Result<Examination> read_examination(CommandContext& context) {
  const Arguments& a = context.arguments;
  std::vector<std::string> names = a.texts("task");
  if (names.empty()) names = {"definitions", "medicine", "arithmetic", "format"};
  const int64_t limit = a.integer("limit", INT64_MAX);
  if (limit < 1) {
    return Status(Code::invalid_argument, "--limit is " + std::to_string(limit) + "; at least one question is needed");
  }
  Examination out;
  for (const std::string& name : names) {
    if (name.ends_with(".txt") || name.ends_with(".md")) {
      LANDFALL_ASSIGN(std::string text, read_text(context.env, name));
      out.texts.push_back({std::string(file_name(name)), std::move(text)});
      continue;
    }
    const bool is_file = name.ends_with(".jsonl") || name.find('/') != std::string::npos;
    const std::string path =
        is_file ? name : join_path(join_path(a.text("corpus", "corpus"), "tasks"), name + ".jsonl");
    if (!is_file && !context.env.exists(path)) {
      return Status(Code::not_found,
                    "there is no examination '" + path +
                        "'; 'landfall corpus' writes those of that name, --corpus says where they are, "
                        "and a file of your own is given as --task FILE.jsonl");
    }
    LANDFALL_ASSIGN(const std::string bytes, context.env.read(path, size_t{256} << 20));
    LANDFALL_ASSIGN(Task task, parse_task(path, bytes));
    if (static_cast<int64_t>(task.items.size()) > limit) task.items.resize(static_cast<size_t>(limit));
    out.tasks.push_back(std::move(task));
  }
  return out;
}

Result<Outcome> examine(CommandContext& context, const std::string& model, const Examination& examination) {
  LANDFALL_ASSIGN(const EngineOptions chosen, engine_options(context.arguments));
  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, model));
  const std::string short_name(file_name(path));
  LANDFALL_ASSIGN(Examinee examinee, [&] {
    Progress progress(context.env, "loading " + short_name);
    return Examinee::load(context.env, path, chosen, context.arguments.has("chat"),
                          [&](uint64_t done, uint64_t total) { return keep_on(progress, done, total); });
  }());
  Outcome out;
  for (const Task& task : examination.tasks) {
    Progress progress(context.env, short_name + ": " + task.name, "questions");
    LANDFALL_ASSIGN(auto answers, answer_all(examinee, task, [&](uint64_t done, uint64_t total) {
                      return keep_on(progress, done, total);
                    }));
    out.answers.push_back(std::move(answers));
  }
  for (const Text& text : examination.texts) {
    Progress progress(context.env, short_name + ": " + text.name, "pieces");
    const PerplexityOptions options{.progress = [&](const Perplexity& so_far, int64_t pieces) {
      return keep_on(progress, static_cast<uint64_t>(so_far.pieces), static_cast<uint64_t>(pieces));
    }};
    LANDFALL_ASSIGN(const Perplexity reached,
                    perplexity(examinee.engine(), examinee.tokenizer(), text.content, options));
    out.perplexities.push_back(reached);
  }
  return out;
}

Pairs pairs_of(const std::vector<ItemAnswer>& first, const std::vector<ItemAnswer>& second) {
  Pairs out{.n = static_cast<int64_t>(first.size())};
  for (size_t i = 0; i < first.size(); ++i) {
    out.only_first += first[i].right && !second[i].right;
    out.only_second += !first[i].right && second[i].right;
  }
  return out;
}

// The answers to items that were not found in training data.
std::vector<ItemAnswer> unseen(const std::vector<ItemAnswer>& answers, const Contamination& contamination) {
  std::vector<bool> seen(answers.size());
  for (const Contamination::Item& item : contamination.found) seen[item.index] = true;
  std::vector<ItemAnswer> out;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (!seen[i]) out.push_back(answers[i]);
  }
  return out;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

std::string between(const Interval& interval) {
  char text[64];
  std::snprintf(text, sizeof text, "%.1f to %.1f %%", 100 * interval.low, 100 * interval.high);
  return text;
}

Json json_of(const Interval& interval) {
  Json out{Json::Array{}};
  return out.push(interval.low).push(interval.high);
}

// Adds to `out`.
Json& set_score(Json& out, const std::vector<ItemAnswer>& answers) {
  const auto n = static_cast<int64_t>(answers.size());
  const int64_t right = right_ones(answers);
  out.set("items", n).set("right", right);
  if (n > 0) {
    out.set("accuracy", static_cast<double>(right) / static_cast<double>(n));
    out.set("interval_95", json_of(wilson_interval(right, n)));
  }
  return out;
}

// Adds to `out`.
void set_outcome(Json& out, const Examination& examination, const Outcome& outcome,
                 const std::vector<Contamination>& contamination) {
  Json tasks{Json::Array{}}, texts{Json::Array{}};
  for (size_t t = 0; t < examination.tasks.size(); ++t) {
    const Task& task = examination.tasks[t];
    const std::vector<ItemAnswer>& answers = outcome.answers[t];
    Json row = Json().set("task", task.name).set("kind", task.multiple_choice ? "multiple choice" : "exact match");
    set_score(row, answers);
    row.set("chance", task.chance());
    if (task.multiple_choice) {
      row.set("right_by_sum",
              std::count_if(answers.begin(), answers.end(), [](const auto& a) { return a.right_by_sum; }));
    }
    if (!contamination.empty()) {
      Json others;
      row.set("unseen", set_score(others, unseen(answers, contamination[t])));
    }
    tasks.push(std::move(row));
  }
  for (size_t t = 0; t < examination.texts.size(); ++t) {
    const Perplexity& p = outcome.perplexities[t];
    texts.push(Json()
                   .set("text", examination.texts[t].name)
                   .set("perplexity", p.value())
                   .set("standard_error", p.standard_error())
                   .set("tokens", p.scored));
  }
  out.set("tasks", std::move(tasks)).set("texts", std::move(texts));
}

Json comparison_json(const Examination& examination, const Outcome& first, const Outcome& second) {
  Json out{Json::Array{}};
  for (size_t t = 0; t < examination.tasks.size(); ++t) {
    const Pairs pairs = pairs_of(first.answers[t], second.answers[t]);
    out.push(Json()
                 .set("task", examination.tasks[t].name)
                 .set("items", pairs.n)
                 .set("only_model", pairs.only_first)
                 .set("only_against", pairs.only_second)
                 .set("difference", pairs.difference())
                 .set("interval_95", json_of(paired_interval(pairs)))
                 .set("p", mcnemar_p(pairs)));
  }
  return out;
}

Json contamination_json(const Examination& examination, const std::vector<Contamination>& contamination,
                        int64_t ngram) {
  Json tasks{Json::Array{}};
  for (size_t t = 0; t < contamination.size(); ++t) {
    Json found{Json::Array{}};
    for (const Contamination::Item& item : contamination[t].found) {
      found.push(Json()
                     .set("id", examination.tasks[t].items[item.index].id)
                     .set("share", item.share())
                     .set("file", item.file)
                     .set("line", item.line));
    }
    tasks.push(Json()
                   .set("task", examination.tasks[t].name)
                   .set("items", examination.tasks[t].items.size())
                   .set("rows_read", contamination[t].rows)
                   .set("found", std::move(found)));
  }
  return Json().set("ngram", ngram).set("tasks", std::move(tasks));
}

void print_outcome(const std::string& model, const Examination& examination, const Outcome& outcome) {
  std::printf("%s\n", model.c_str());
  if (!examination.tasks.empty()) {
    Table table({"TASK", ">QUESTIONS", ">RIGHT", ">ACCURACY", ">95 % INTERVAL", ">CHANCE", ">BY SUM"});
    for (size_t t = 0; t < examination.tasks.size(); ++t) {
      const Task& task = examination.tasks[t];
      const std::vector<ItemAnswer>& answers = outcome.answers[t];
      const auto n = static_cast<int64_t>(answers.size());
      const int64_t right = right_ones(answers);
      const auto share = [&](int64_t count) { return percent(static_cast<double>(count) / static_cast<double>(n)); };
      const int64_t by_sum =
          std::count_if(answers.begin(), answers.end(), [](const auto& a) { return a.right_by_sum; });
      table.add({task.name, std::to_string(n), std::to_string(right), share(right), between(wilson_interval(right, n)),
                 task.multiple_choice ? percent(task.chance()) : "", task.multiple_choice ? share(by_sum) : ""});
    }
    std::fputs(table.text().c_str(), stdout);
  }
  for (size_t t = 0; t < examination.texts.size(); ++t) {
    const Perplexity& p = outcome.perplexities[t];
    std::printf("%s: perplexity %.4f +/- %.4f over %lld tokens\n", examination.texts[t].name.c_str(), p.value(),
                p.standard_error(), static_cast<long long>(p.scored));
  }
}

void print_comparison(const Examination& examination, const Outcome& first, const Outcome& second) {
  if (examination.tasks.empty()) return;
  std::printf("the first less the second, on the same questions\n");
  Table table({"TASK", ">DIFFERENCE", ">95 % INTERVAL", ">ONLY THE FIRST", ">ONLY THE SECOND", ">P"});
  for (size_t t = 0; t < examination.tasks.size(); ++t) {
    const Pairs pairs = pairs_of(first.answers[t], second.answers[t]);
    char p[32];
    std::snprintf(p, sizeof p, "%.2g", mcnemar_p(pairs));
    table.add({examination.tasks[t].name, percent(pairs.difference()), between(paired_interval(pairs)),
               std::to_string(pairs.only_first), std::to_string(pairs.only_second), p});
  }
  std::fputs(table.text().c_str(), stdout);
}

void print_contamination(const Examination& examination, const Outcome& outcome,
                         const std::vector<Contamination>& contamination, int64_t ngram) {
  for (size_t t = 0; t < contamination.size(); ++t) {
    const Task& task = examination.tasks[t];
    const std::vector<Contamination::Item>& found = contamination[t].found;
    std::printf("%s: %zu of %zu questions share %lld consecutive words with the %llu rows of training data",
                task.name.c_str(), found.size(), task.items.size(), static_cast<long long>(ngram),
                static_cast<unsigned long long>(contamination[t].rows));
    const std::vector<ItemAnswer> others = unseen(outcome.answers[t], contamination[t]);
    if (!found.empty() && !others.empty()) {
      std::printf("; accuracy on the others %s",
                  percent(static_cast<double>(right_ones(others)) / static_cast<double>(others.size())).c_str());
    }
    std::printf("\n");
    for (size_t i = 0; i < std::min(found.size(), kOffendersShown); ++i) {
      std::printf("  %s: %s of its runs of words, first in %s line %llu\n", task.items[found[i].index].id.c_str(),
                  percent(found[i].share()).c_str(), found[i].file.c_str(),
                  static_cast<unsigned long long>(found[i].line));
    }
    if (found.size() > kOffendersShown) std::printf("  and %zu more; --json has all\n", found.size() - kOffendersShown);
  }
}

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  const int64_t ngram = a.integer("ngram", kNgram);
  if (ngram < 1 || ngram > 64) {
    return Status(Code::invalid_argument, "--ngram is " + std::to_string(ngram) + "; 1 to 64 words are possible");
  }
  LANDFALL_TRY(only_beside(a, "ngram", "contamination"));
  LANDFALL_ASSIGN(const Examination examination, read_examination(context));
  if (a.has("contamination") && examination.tasks.empty()) {
    return Status(Code::invalid_argument,
                  "--contamination looks for the answers to questions, and of --task there are only texts; give an "
                  "examination too");
  }
  const InterruptGuard guard;
  std::vector<Contamination> contamination;
  if (a.has("contamination")) {
    LANDFALL_ASSIGN(const auto files, example_files(context.env, a.texts("contamination")));
    Progress progress(context.env, "reading training data");
    LANDFALL_ASSIGN(contamination,
                    find_contamination(context.env, examination.tasks, files, ngram,
                                       [&](uint64_t done, uint64_t total) { return keep_on(progress, done, total); }));
  }
  const std::string model = a.text("MODEL"), other = a.text("against");
  LANDFALL_ASSIGN(const Outcome outcome, examine(context, model, examination));
  std::optional<Outcome> against;
  if (!other.empty()) {
    LANDFALL_ASSIGN(against, examine(context, other, examination));
  }
  if (context.json) {
    Json out = Json().set("model", model).set("form", a.has("chat") ? "chat" : "text");
    set_outcome(out, examination, outcome, contamination);
    if (against) {
      Json second = Json().set("model", other);
      set_outcome(second, examination, *against, contamination);
      out.set("against", std::move(second.set("comparison", comparison_json(examination, outcome, *against))));
    }
    if (!contamination.empty()) out.set("contamination", contamination_json(examination, contamination, ngram));
    std::printf("%s\n", out.dump(2).c_str());
    return {};
  }
  print_outcome(model, examination, outcome);
  if (against) {
    print_outcome(other, examination, *against);
    print_comparison(examination, outcome, *against);
  }
  print_contamination(examination, outcome, contamination, ngram);
  return {};
}

}  // namespace

extern const Command k_eval;
const Command k_eval = {
    .name = "eval",
    .help = "how many questions a model answers rightly, alone or beside another",
    .example =
        "landfall eval starter --task definitions --task medicine --limit 200\n"
        "landfall eval ward-notes/model.gguf --against starter --contamination notes.jsonl",
    .flags = kFlags,
    .has_json = true,
    .run = run,
};

}  // namespace landfall
