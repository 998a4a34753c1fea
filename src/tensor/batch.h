// One step's work: a flat list of rows (token, position) cut into runs. A run is a sequence when serving and a packed
// document when training. Views only; the owner keeps the arrays alive for the step.
#pragma once

#include <cstdint>
#include <span>

namespace landfall {

struct Run {
  int32_t first = 0;      // its first row in the batch
  int32_t count = 0;      // new rows
  int32_t past = 0;       // rows already in the cache
  int32_t sequence = 0;   // whose cache
  bool expanded = false;  // latent attention in its expanded form; fixed per request, never chosen from load
};

struct Batch {
  std::span<const int32_t> token;     // [rows]; rows of one run are contiguous
  std::span<const int32_t> position;  // [rows]
  std::span<const Run> runs;
  std::span<const int32_t> logits_rows;  // rows whose logits are wanted
  std::span<const float> hidden = {};    // [rows, width] of another model, for one that reads them
};

}  // namespace landfall
