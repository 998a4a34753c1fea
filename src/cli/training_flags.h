// What the commands that train share of their flags: names of choices, and how many threads.
#pragma once

#include <charconv>

#include "base/topology.h"
#include "cli/checked_flags.h"
#include "train/optimizer.h"
#include "train/step.h"
#include "train/trainable.h"

namespace landfall {

inline Result<Recompute> chosen_recompute(const Arguments& a, std::string_view otherwise) {
  const std::string text = a.text("recompute", std::string(otherwise));
  int64_t segment = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), segment);
  if (error == std::errc() && end == text.data() + text.size() && segment >= 1) return Recompute{segment};
  return choice<Recompute>(
      a, "recompute", otherwise,
      {{"none", Recompute::none}, {"layer", Recompute::layer}, {"two-level", Recompute::two_levels}});
}

inline Result<Precision> chosen_precision(const Arguments& a) {
  return choice<Precision>(a, "precision", "f32", {{"f32", Precision::f32}, {"bf16", Precision::bf16}});
}

inline Result<OptimizerOptions::Kind> chosen_optimizer(const Arguments& a, std::string_view otherwise) {
  return choice<OptimizerOptions::Kind>(
      a, "optimizer", otherwise, {{"adamw", OptimizerOptions::Kind::adamw}, {"muon", OptimizerOptions::Kind::muon}});
}

inline Result<int64_t> chosen_threads(const Arguments& a) {
  return integer(a, "threads", this_machine().default_threads(), 1, 1024);
}

}  // namespace landfall
