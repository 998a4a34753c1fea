#include "cli/training_watch.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/interrupt.h"
#include "cli/peak_memory.h"
#include "cli/terminal.h"

namespace landfall {
namespace {

void say(const std::string& line) {
  std::fprintf(stderr, "%s%s\n", stderr_is_terminal() ? "\r\033[K" : "", line.c_str());
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// The last line of a file where a kill or a power cut has torn it: the next one would stand in the same line.
Status drop_torn_line(Env& env, const std::string& path) {
  LANDFALL_ASSIGN(const auto file, env.map(path));
  const std::string_view text = text_of(*file);
  if (text.empty() || text.back() == '\n') return {};
  return write_file(env, path, text.substr(0, text.rfind('\n') + 1));
}

}  // namespace

Result<std::unique_ptr<TrainingWatch>> TrainingWatch::open(Env& env, const std::string& folder,
                                                           const std::string& report) {
  auto watch = std::make_unique<TrainingWatch>(env, folder, report);
  const std::string metrics = join_path(folder, "metrics.jsonl");
  if (env.exists(metrics)) {
    LANDFALL_TRY(drop_torn_line(env, metrics));
    if (!report.empty()) LANDFALL_TRY(watch->read_earlier(metrics));
  }
  LANDFALL_ASSIGN(watch->metrics_, env.open_output(metrics, true));
  return watch;
}

Status TrainingWatch::check_page(Env& env, const std::string& report) {
  if (report.empty()) return {};
  if (env.is_directory(report))
    return Status(Code::invalid_argument, "--report '" + report + "' is a folder; name a file in it");
  if (env.exists(report)) {
    LANDFALL_ASSIGN(const auto earlier, env.map(report));
    const std::string_view text = text_of(*earlier);
    if (!text.empty() && !text.starts_with(kReportStart))
      return Status(Code::invalid_argument,
                    "--report '" + report + "' is there already and is no page of a run; name another file");
  }
  const std::string trial = report + ".partial";  // as write_file() does
  const Status opened = env.open_output(trial, false).status();
  if (!opened.ok()) return opened.within("--report");
  return env.remove(trial);
}

// What write() has written; a line that a power cut has damaged is passed over.
Status TrainingWatch::read_earlier(const std::string& metrics) {
  LANDFALL_ASSIGN(const std::string text, env_.read(metrics));
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const auto parsed = parse_json(std::string_view(text).substr(at, end - at));
    at = end + 1;
    if (!parsed.ok()) continue;
    const Json& row = *parsed;
    if (row.find("validation_loss")) {
      page_.add_validation(row["step"].integer(), row["validation_loss"].number());
    } else {
      page_.add_earlier({.step = row["step"].integer(),
                         .loss = row["loss"].number(),
                         .norm = row["gradient_norm"].number(),
                         .learning_rate = row["learning_rate"].number()});
    }
  }
  return {};
}

TrainerHooks TrainingWatch::hooks() {
  return {.on_step = [this](const StepReport& r) { step(r); },
          .on_validation = [this](int64_t at, double loss) { validation(at, loss); },
          .on_note = [this](const std::string& line) { note(line); },
          .stop = [this] { return stop_requested() || !status_.ok(); }};
}

void TrainingWatch::step(const StepReport& r) {
  const double now = env_.seconds();
  tokens_ += r.tokens;
  ++steps_;
  const double rate = static_cast<double>(tokens_) / (now - start_);
  Json row;
  row.set("step", r.step).set("loss", r.loss).set("gradient_norm", r.norm).set("learning_rate", r.learning_rate);
  row.set("tokens", r.tokens).set("epoch", r.epoch).set("tokens_per_second", rate);
  if (!r.imbalance.empty()) row.set("imbalance", Json::Array(r.imbalance.begin(), r.imbalance.end()));
  write(row.set("peak_bytes", peak_resident_bytes(env_)));
  page_.add(r);
  if (now - page_written_ > 10) write_page(true);
  if (now - drawn_ < (stderr_is_terminal() ? 0.2 : 10.0) && r.step != r.steps) return;
  drawn_ = now;
  const double left = (now - start_) / static_cast<double>(steps_) * static_cast<double>(r.steps - r.step);
  char figures[160];
  std::snprintf(figures, sizeof figures,
                "step %lld of %lld  loss %.4f  %s left  %.0f tokens/s  %s  gradient %.2f  rate %.2e",
                static_cast<long long>(r.step), static_cast<long long>(r.steps), r.loss, human_seconds(left).c_str(),
                rate, human_bytes(static_cast<uint64_t>(peak_resident_bytes(env_))).c_str(), r.norm, r.learning_rate);
  if (stderr_is_terminal()) {
    draw_line(bar(static_cast<double>(r.step) / static_cast<double>(r.steps)) + " " + figures);
  } else {
    say(figures);
  }
}

void TrainingWatch::validation(int64_t step, double loss) {
  write(Json().set("step", step).set("validation_loss", loss));
  page_.add_validation(step, loss);
  char text[96];
  std::snprintf(text, sizeof text, "step %lld: validation loss %.4f (perplexity %.2f)", static_cast<long long>(step),
                loss, std::exp(loss));
  say(text);
}

void TrainingWatch::note(const std::string& line) {
  page_.add_note(line);
  say(line);
}

Status TrainingWatch::close() {
  if (stderr_is_terminal()) std::fprintf(stderr, "\n");
  write_page(false);
  return status_;
}

void TrainingWatch::write(const Json& row) {
  if (status_.ok()) status_ = metrics_->append(row.dump() + "\n");
}

void TrainingWatch::write_page(bool running) {
  if (page_path_.empty() || !status_.ok()) return;
  page_written_ = env_.seconds();
  status_ = write_file(env_, page_path_,
                       page_.html(running, page_written_ - start_, static_cast<uint64_t>(peak_resident_bytes(env_))));
}

}  // namespace landfall
