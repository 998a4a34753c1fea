// What a person and what programs see of a training run: a line at the terminal (elsewhere one in ten seconds), metrics
// as JSON lines in the run's folder, and a page where one is asked for. One run, one thread.
#pragma once

#include <memory>
#include <string>

#include "train/report.h"
#include "train/trainer.h"

namespace landfall {

class TrainingWatch {
 public:
  // Whether a page can be written there: known before a run starts. Nothing is left of the trial.
  static Status check_page(Env& env, const std::string& report);
  // report: the page; empty for none. Of a run that is continued it begins with what the folder's metrics hold.
  static Result<std::unique_ptr<TrainingWatch>> open(Env& env, const std::string& folder, const std::string& report);
  TrainingWatch(Env& env, const std::string& folder, std::string report)
      : env_(env), page_path_(std::move(report)), page_("Training: " + folder), start_(env.seconds()) {}

  // They stop the run on Ctrl+C and when a file cannot be written; this must outlive them.
  TrainerHooks hooks();
  void note(const std::string& line);
  // Ends the line at the terminal, and the page. The first error of a file that could not be written.
  Status close();

 private:
  Status read_earlier(const std::string& metrics);
  void step(const StepReport& r);
  void validation(int64_t step, double loss);
  void write(const Json& row);
  void write_page(bool running);

  Env& env_;
  std::string page_path_;
  TrainingReport page_;
  double start_, drawn_ = -1e9, page_written_ = -1e9;
  std::unique_ptr<OutputFile> metrics_;
  Status status_;
  int64_t tokens_ = 0, steps_ = 0;
};

}  // namespace landfall
