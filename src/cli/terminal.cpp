#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace landfall {

bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

void draw_line(const std::string& text) {
  winsize size{};
  // A line that wraps could not be drawn over.
  const size_t columns =
      ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : SIZE_MAX;
  std::fprintf(stderr, "\r\033[K%s", text.substr(0, columns).c_str());
  std::fflush(stderr);
}

std::string bar(double share) {
  constexpr int kWidth = 20;
  const int done = static_cast<int>(std::clamp(share, 0.0, 1.0) * kWidth);
  std::string out = "[" + std::string(static_cast<size_t>(done), '=');
  if (done < kWidth) out += ">" + std::string(static_cast<size_t>(kWidth - done - 1), ' ');
  return out + "]";
}

std::string human_bytes(uint64_t bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

std::string human_seconds(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  char text[48];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%llds", whole);
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lldm %02llds", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lldh %02lldm", whole / 3600, whole / 60 % 60);
  }
  return text;
}

Progress::Progress(Env& env, std::string what, std::string unit)
    : env_(env), what_(std::move(what)), unit_(std::move(unit)), start_(env.seconds()) {}

std::string Progress::amount(double count) const {
  if (unit_.empty()) return human_bytes(static_cast<uint64_t>(count));
  char text[64];
  std::snprintf(text, sizeof text, count < 10 && count != std::floor(count) ? "%.1f " : "%.0f ", count);
  return text + unit_;
}

void Progress::update(uint64_t done, uint64_t total) {
  if (first_ == UINT64_MAX) first_ = done;  // what was there before (a resumed download) does not count as speed
  done_ = done;
  total_ = total;
  const double now = env_.seconds();
  if (!stderr_is_terminal() || now - start_ < 0.5 || now - last_draw_ < 0.1) return;
  last_draw_ = now;
  drawn_ = true;
  const double rate = static_cast<double>(done - first_) / (now - start_);
  std::string line = what_ + "  ";
  if (total > 0) line += bar(static_cast<double>(done) / static_cast<double>(total)) + " ";
  line += amount(static_cast<double>(done));
  if (total > 0) {
    const int percent = static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total));
    line += " of " + amount(static_cast<double>(total)) + "  " + std::to_string(percent) + "%";
  }
  line += "  " + amount(rate) + "/s";
  if (total > done && rate > 0) line += "  " + human_seconds(static_cast<double>(total - done) / rate) + " left";
  draw_line(line);
}

Progress::~Progress() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
  const double elapsed = env_.seconds() - start_;
  if (elapsed < 2 || first_ == UINT64_MAX) return;
  const double rate = static_cast<double>(done_ - first_) / elapsed;
  std::fprintf(stderr, "%s: %s in %s (%s/s)\n", what_.c_str(), amount(static_cast<double>(done_)).c_str(),
               human_seconds(elapsed).c_str(), amount(rate).c_str());
}

}  // namespace landfall
