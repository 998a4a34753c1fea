#include "cli/bench_operators.h"

#include <algorithm>
#include <cstdio>

#include "cli/table.h"

namespace landfall {
namespace {

std::vector<ProfileRow> longest_first(const std::vector<ProfileReader::Event>& events) {
  std::vector<ProfileRow> rows = profile_rows(events);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ProfileRow& a, const ProfileRow& b) { return a.seconds > b.seconds; });
  return rows;
}

double bytes_of(const Cost& cost) { return cost.weight_bytes + cost.cache_bytes; }

std::string_view name_of(Activation kind) {
  return kind == Activation::int8 ? "int8" : kind == Activation::bf16 ? "bf16" : "f32";
}

std::string_view bound_of(const ProfileRow& row, const Limits& limits) {
  if (row.cost.operations == 0 && bytes_of(row.cost) == 0) return "-";
  return limits.seconds(row.cost, row.kind) > bytes_of(row.cost) / limits.bandwidth ? name_of(row.kind) : "memory";
}

std::string fixed(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

Json complete_event(std::string name, double start, double seconds, double origin) {
  Json out;
  out.set("name", std::move(name)).set("ph", "X").set("pid", 1).set("tid", 1);
  return out.set("ts", (start - origin) * 1e6).set("dur", seconds * 1e6);
}

}  // namespace

Json operators_json(const std::vector<ProfileReader::Event>& events, const Limits& limits) {
  Json out{Json::Array{}};
  for (const ProfileRow& row : longest_first(events)) {
    Json line;
    line.set("operator", row.name).set("calls", row.calls).set("seconds", row.seconds);
    line.set("operations", row.cost.operations).set("bytes", bytes_of(row.cost));
    line.set("limit_seconds", limits.seconds(row.cost, row.kind)).set("bound", bound_of(row, limits));
    out.push(std::move(line));
  }
  return out;
}

std::string operators_text(const std::vector<ProfileReader::Event>& events, const Limits& limits) {
  Table table({"operator", ">calls", ">ms", ">share", ">GOP", ">MB", ">limit ms", ">of limit", "bound by"});
  double seconds = 0, least = 0;
  for (const auto& event : events) seconds += event.seconds;
  for (const ProfileRow& row : longest_first(events)) {
    const double limit = limits.seconds(row.cost, row.kind);
    least += limit;
    table.add({row.name, std::to_string(row.calls), fixed(row.seconds * 1e3, 2),
               fixed(100 * row.seconds / seconds, 1) + "%", fixed(row.cost.operations / 1e9, 2),
               fixed(bytes_of(row.cost) / 1e6, 1), fixed(limit * 1e3, 2),
               limit > 0 ? fixed(100 * limit / row.seconds, 0) + "%" : "-", std::string(bound_of(row, limits))});
  }
  table.add({"together", std::to_string(events.size()), fixed(seconds * 1e3, 2), "100%", "", "", fixed(least * 1e3, 2),
             fixed(100 * least / seconds, 0) + "%", ""});
  return table.text();
}

std::string timeline(const std::vector<TimelineStep>& steps) {
  Json list{Json::Array{}};
  const double origin = steps.empty() || steps[0].events.empty() ? 0 : steps[0].events[0].start;
  for (const TimelineStep& step : steps) {
    const auto& events = step.events;
    if (events.empty()) continue;
    auto span = [&](const std::string& name, const ProfileReader::Event& first, const ProfileReader::Event& last) {
      list.push(complete_event(name, first.start, last.start + last.seconds - first.start, origin));
    };
    span(step.name, events.front(), events.back());
    for (size_t i = 0; i < events.size();) {
      size_t end = i + 1;
      while (end < events.size() && events[end].layer == events[i].layer) ++end;
      if (events[i].layer >= 0) span("layer " + std::to_string(events[i].layer), events[i], events[end - 1]);
      for (; i < end; ++i) {
        Json args, event = complete_event(std::string(events[i].op->name), events[i].start, events[i].seconds, origin);
        args.set("layer", int{events[i].layer}).set("weight", std::string(events[i].weight));
        args.set("operations", events[i].cost.operations).set("bytes", bytes_of(events[i].cost));
        list.push(event.set("args", std::move(args)));
      }
    }
  }
  Json out;
  return out.set("traceEvents", std::move(list)).set("displayTimeUnit", "ms").dump();
}

}  // namespace landfall
