// The page about a run: what stands in it after steps were done again, and that a chart of any numbers comes to its
// end.
#include "train/report.h"

#include <gtest/gtest.h>

#include <limits>

namespace landfall {
namespace {

StepReport step_of(int64_t step, double loss) {
  return {.step = step, .steps = 100, .loss = loss, .norm = 1, .learning_rate = 1e-3, .tokens = 50};
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

// The points of the first curve.
size_t points(const std::string& page) {
  const size_t begin = page.find("points=\""), end = page.find('"', begin + 8);
  return count(page.substr(begin, end - begin), ",");
}

TEST(TrainingReport, StepsDoneAgainTakeThePlaceOfTheOld) {
  TrainingReport report("Training: <here>");
  EXPECT_NE(report.html(true, 0, 0).find("no step yet"), std::string::npos);
  for (int64_t step : {1, 2, 3, 4}) report.add_earlier(step_of(step, 5));
  report.add_validation(2, 6);
  report.add_validation(4, 6);
  for (int64_t step : {3, 4, 5}) report.add(step_of(step, 4.5));
  report.add_validation(5, 4.25);
  const std::string page = report.html(false, 10, 1000);
  EXPECT_EQ(points(page), 5u);
  EXPECT_NE(page.find("5 of 100"), std::string::npos);
  EXPECT_NE(page.find("<dd>15</dd>"), std::string::npos) << "150 tokens in 10 seconds: those of this run alone";
  EXPECT_NE(page.find("4.2500"), std::string::npos);
  EXPECT_EQ(count(page, "<circle"), 1u + 1u);
  EXPECT_NE(page.find("&lt;here&gt;"), std::string::npos);
}

TEST(TrainingReport, ChartsOfAnyNumbersEnd) {
  for (double loss : {0.0, 1e-300, 8192.0, -8192.0, 1e9, 1e300, std::numeric_limits<double>::infinity(),
                      std::numeric_limits<double>::quiet_NaN()}) {
    TrainingReport report("Training");
    for (int64_t step : {1, 2, 3}) report.add(step_of(step, loss));
    const std::string page = report.html(false, 1, 1);
    EXPECT_LT(count(page, "<line"), 40u) << loss;
    EXPECT_EQ(page.find("nan\""), std::string::npos) << loss;
  }
}

}  // namespace
}  // namespace landfall
