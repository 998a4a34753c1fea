// A page about a training run that needs nothing but a browser: curves of loss, validation loss, learning rate and
// gradient norm as inline SVG, and the run's figures. Not thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "train/trainer.h"

namespace landfall {

inline constexpr std::string_view kReportStart = "<!doctype html>";

class TrainingReport {
 public:
  explicit TrainingReport(std::string title) : title_(std::move(title)) {}

  // A step takes the place of what there was of it and of those behind it: a run may go back.
  void add(const StepReport& step);
  // The same of a run that this one continues.
  void add_earlier(const StepReport& step);
  void add_validation(int64_t step, double loss) { validation_.emplace_back(step, loss); }
  void add_note(const std::string& note) { notes_.push_back(note); }

  // running: the page loads itself again every ten seconds. seconds: for the steps of add().
  std::string html(bool running, double seconds, uint64_t memory_bytes) const;

 private:
  void put(const StepReport& step);

  std::string title_;
  std::vector<StepReport> steps_;
  bool continues_ = false;
  double computed_ = 0, tokens_ = 0;  // by add(), of steps done again too
  std::vector<std::pair<int64_t, double>> validation_;
  std::vector<std::string> notes_;
};

}  // namespace landfall
