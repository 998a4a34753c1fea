// What commands share about the terminal: progress with rate and time left, sizes for people, colours only where a
// person looks. Output that programs read goes to standard output, everything else to standard error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/env.h"

namespace landfall {

bool stdout_is_terminal();
bool stderr_is_terminal();

// On standard error, which is a terminal: in place of what stands in the line, and as much as fits into it.
void draw_line(const std::string& text);

std::string bar(double share);              // "[=======>            ]"
std::string human_bytes(uint64_t bytes);    // "98.4 MB"
std::string human_seconds(double seconds);  // "2m 05s"

// One line on standard error, redrawn at most ten times a second while it is a terminal; nothing for work that ends
// within two seconds, one closing line otherwise. Not thread-safe.
class Progress {
 public:
  // `unit`: what is counted, such as "items"; bytes without it.
  Progress(Env& env, std::string what, std::string unit = "");
  ~Progress();
  void update(uint64_t done, uint64_t total);  // total 0: not known

 private:
  std::string amount(double count) const;
  Env& env_;
  std::string what_, unit_;
  double start_, last_draw_ = 0;
  uint64_t first_ = UINT64_MAX, done_ = 0, total_ = 0;
  bool drawn_ = false;
};

}  // namespace landfall
