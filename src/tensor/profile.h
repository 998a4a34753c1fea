// The run reading with a clock: computes as RunReader does and books each operator's time beside what the count reading
// says it has to do. A fusion that runs as one kernel is one event, and what it calls inside is part of it; one that is
// expanded is the events of its parts. Not thread-safe, as every reader.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "tensor/operator.h"
#include "tensor/probe_peak.h"

namespace landfall {

class ProfileReader : public Reader {
 public:
  explicit ProfileReader(Env& env) : env_(&env) {}
  void call(Ctx& ctx, OpCall& call) override;
  bool keeps_outputs() const override { return false; }

  struct Event {
    const Operator* op;
    std::string_view weight;  // name of the first weight, empty when there is none; lives as long as the model
    int32_t layer;            // by the names of weights; -1 outside the layers
    Activation kind;          // the widest product that its numbers allow
    double start, seconds;
    Cost cost;
  };
  const std::vector<Event>& events() const { return events_; }
  double seconds() const;  // of all events together

 private:
  Env* env_;
  RunReader run_;
  bool inside_ = false;
  int32_t layer_ = -1;
  std::vector<Event> events_;
};

// Events of the same operator and the same weight in different layers, added up, in order of first appearance.
struct ProfileRow {
  std::string name;  // "linear attn_q"
  int64_t calls = 0;
  Activation kind = Activation::f32;
  double seconds = 0;
  Cost cost;
};
std::vector<ProfileRow> profile_rows(const std::vector<ProfileReader::Event>& events);

// The least time that the row could take: what binds, computing or reading.
struct Limits {
  double int8, bf16, f32;  // operations per second
  double bandwidth;        // bytes per second
  double seconds(const Cost& cost, Activation kind) const;
};

}  // namespace landfall
