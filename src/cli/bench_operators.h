// Where a step's time goes, for `landfall bench`: a row per operator against the machine's limits, and a time line.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "tensor/profile.h"

namespace landfall {

// [{"operator", "calls", "seconds", "operations", "bytes", "limit_seconds", "bound"}, ...], longest first.
Json operators_json(const std::vector<ProfileReader::Event>& events, const Limits& limits);
std::string operators_text(const std::vector<ProfileReader::Event>& events, const Limits& limits);

// The steps as a trace in Chrome's format, which chrome://tracing and Perfetto load: an event per operator call inside
// one per layer inside one per step. Source: the Trace Event Format document of the Chromium project.
struct TimelineStep {
  std::string name;
  const std::vector<ProfileReader::Event>& events;
};
std::string timeline(const std::vector<TimelineStep>& steps);

}  // namespace landfall
