#include "train/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace landfall {
namespace {

using Points = std::vector<std::pair<double, double>>;

constexpr double kWidth = 760, kHeight = 220, kLeft = 62, kRight = 12, kTop = 12, kBottom = 30;
constexpr size_t kMostPoints = 800;

constexpr std::string_view kHead = R"(<style>
:root{color-scheme:light dark;--ink:#1d2733;--soft:#5d6b7a;--line:#d8dee6;--paper:#fff;--one:#0b6bcb;--two:#c2410c}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf1;--soft:#9aa7b5;--line:#33404d;--paper:#12181f;--one:#5cb0ff;--two:#ff9b5e}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:800px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1rem;margin:1.6rem 0 .2rem}p{color:var(--soft);margin:.2rem 0}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:.8rem;margin:1.2rem 0}dt{color:var(--soft);font-size:.85rem}dd{margin:0;font-size:1.15rem}
svg{width:100%;height:auto}text{font:11px system-ui,sans-serif;fill:var(--soft)}.grid{stroke:var(--line)}.one{stroke:var(--one)}.two{stroke:var(--two)}polyline{fill:none;stroke-width:1.6}circle{fill:var(--two)}
.key b{font-weight:600}.key .a{color:var(--one)}.key .b{color:var(--two)}
</style>)";

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

// At most kMostPoints, each the mean of neighbours.
Points thinned(const Points& all) {
  if (all.size() <= kMostPoints) return all;
  Points out;
  for (size_t i = 0; i < kMostPoints; ++i) {
    const size_t begin = i * all.size() / kMostPoints, end = (i + 1) * all.size() / kMostPoints;
    double x = 0, y = 0;
    for (size_t k = begin; k < end; ++k) x += all[k].first, y += all[k].second;
    const auto n = static_cast<double>(end - begin);
    out.emplace_back(x / n, y / n);
  }
  return out;
}

// A step of 1, 2 or 5 times a power of ten that cuts the range into about `parts`. It is no smaller than what still
// moves numbers of this size.
double round_step(double range, int parts, double size) {
  const double raw = std::max({range, 1e-12, 1e-9 * size}) / parts, power = std::pow(10.0, std::floor(std::log10(raw)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

std::string chart(const Points& line, const Points& dots) {
  if (line.empty()) return "<p>no step yet</p>";
  double low = line[0].second, high = low, first = line[0].first, last = first;
  for (const Points* points : {&line, &dots}) {
    for (const auto& [x, y] : *points) {
      if (!std::isfinite(y)) return "<p>a number that is not finite, see metrics.jsonl</p>";
      low = std::min(low, y), high = std::max(high, y);
      first = std::min(first, x), last = std::max(last, x);
    }
  }
  const double step = round_step(high - low, 4, std::max(std::abs(low), std::abs(high)));
  low = std::floor(low / step) * step;
  high = std::max(low + step, std::ceil(high / step) * step);
  last = std::max(last, first + 1);
  auto x_of = [&](double x) { return kLeft + (x - first) / (last - first) * (kWidth - kLeft - kRight); };
  auto y_of = [&](double y) { return kTop + (high - y) / (high - low) * (kHeight - kTop - kBottom); };
  std::string out = "<svg viewBox=\"0 0 760 220\" role=\"img\">";
  for (double y = low; y <= high + step / 2; y += step) {
    const std::string at = format("%.1f", y_of(y));
    out += "<line class=\"grid\" x1=\"62\" x2=\"748\" y1=\"" + at + "\" y2=\"" + at + "\"/><text x=\"56\" y=\"" +
           format("%.1f", y_of(y) + 4) + "\" text-anchor=\"end\">" + format("%.4g", std::abs(y) < step / 1e6 ? 0 : y) +
           "</text>";
  }
  const double tick = std::max(1.0, round_step(last - first, 6, last));
  for (double x = std::ceil(first / tick) * tick; x <= last; x += tick) {
    out +=
        "<text x=\"" + format("%.1f", x_of(x)) + "\" y=\"208\" text-anchor=\"middle\">" + format("%.0f", x) + "</text>";
  }
  out += "<polyline class=\"one\" points=\"";
  for (const auto& [x, y] : thinned(line)) out += format("%.1f", x_of(x)) + "," + format("%.1f", y_of(y)) + " ";
  out += "\"/>";
  if (!dots.empty()) {
    out += "<polyline class=\"two\" points=\"";
    for (const auto& [x, y] : dots) out += format("%.1f", x_of(x)) + "," + format("%.1f", y_of(y)) + " ";
    out += "\"/>";
    for (const auto& [x, y] : dots)
      out += "<circle cx=\"" + format("%.1f", x_of(x)) + "\" cy=\"" + format("%.1f", y_of(y)) + "\" r=\"2.5\"/>";
  }
  return out + "</svg>";
}

}  // namespace

void TrainingReport::put(const StepReport& step) {
  while (!steps_.empty() && steps_.back().step >= step.step) steps_.pop_back();
  while (!validation_.empty() && validation_.back().first >= step.step) validation_.pop_back();
  steps_.push_back(step);
}

void TrainingReport::add_earlier(const StepReport& step) {
  put(step);
  continues_ = true;
}

void TrainingReport::add(const StepReport& step) {
  put(step);
  ++computed_;
  tokens_ += static_cast<double>(step.tokens);
}

std::string TrainingReport::html(bool running, double seconds, uint64_t memory_bytes) const {
  Points loss, rate, norm, validation;
  for (const StepReport& s : steps_) {
    const auto x = static_cast<double>(s.step);
    loss.emplace_back(x, s.loss), rate.emplace_back(x, s.learning_rate), norm.emplace_back(x, s.norm);
  }
  for (const auto& [step, value] : validation_) validation.emplace_back(static_cast<double>(step), value);
  std::string out(kReportStart);
  out += "<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">";
  if (running) out += "<meta http-equiv=\"refresh\" content=\"10\">";
  out += "<title>" + escaped(title_) + "</title>" + std::string(kHead) + "</head><body><h1>" + escaped(title_) +
         "</h1><p>" + (running ? "running; this page follows" : "ended") + "</p><dl>";
  auto figure = [&](const std::string& name, const std::string& value) {
    out += "<div><dt>" + name + "</dt><dd>" + value + "</dd></div>";
  };
  if (!steps_.empty()) {
    const StepReport& now = steps_.back();
    figure("step", std::to_string(now.step) + (now.steps > 0 ? " of " + std::to_string(now.steps) : ""));
    figure("loss", format("%.4f", now.loss));
    if (!validation.empty()) {
      figure("validation loss", format("%.4f", validation.back().second));
      figure("its perplexity", format("%.2f", std::exp(validation.back().second)));
    }
    if (computed_ > 0 && seconds > 0) {
      figure("tokens a second", format("%.0f", tokens_ / seconds));
      figure(continues_ ? "minutes since it was continued" : "minutes", format("%.1f", seconds / 60));
      if (running)
        figure("minutes left", format("%.1f", seconds / 60 / computed_ * static_cast<double>(now.steps - now.step)));
    }
    figure("memory", format("%.2f GB", static_cast<double>(memory_bytes) * 1e-9));
  }
  out += "</dl><h2>Loss</h2><p class=\"key\"><b class=\"a\">training</b>" +
         std::string(validation.empty() ? "" : ", <b class=\"b\">validation</b>") + ", nats a token, by step</p>" +
         chart(loss, validation) + "<h2>Learning rate</h2>" + chart(rate, {}) + "<h2>Norm of the gradient</h2>" +
         chart(norm, {});
  if (!notes_.empty()) {
    out += "<h2>What happened</h2>";
    for (const std::string& note : notes_) out += "<p>" + escaped(note) + "</p>";
  }
  return out + "</body></html>\n";
}

}  // namespace landfall
