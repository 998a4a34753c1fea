#include "lifecycle/exercises.h"

#include <algorithm>

#include "base/counter_random.h"
#include "data/permutation.h"

namespace landfall {
namespace {

struct Problem {
  enum Kind : uint8_t { sum, difference, product } kind;
  int a, b;
};

Exercise exercise(const Problem& p) {
  const int result = p.kind == Problem::sum ? p.a + p.b : p.kind == Problem::difference ? p.a - p.b : p.a * p.b;
  const char* sign = p.kind == Problem::sum ? " + " : p.kind == Problem::difference ? " - " : " times ";
  return {"What is " + std::to_string(p.a) + sign + std::to_string(p.b) + "?", std::to_string(result)};
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const std::string& word : words) out.append(out.empty() ? "" : between).append(word);
  return out;
}

std::string in_capitals(std::string word) {
  for (char& c : word) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return word;
}

// The words that it is about stand so close that each run of eight words of question and answer holds one.
Exercise format_exercise(const std::vector<std::string>& words, uint64_t draw) {
  const uint64_t first = splitmix64(draw) % words.size();
  const auto pick = [&](uint64_t which) { return words[(first + which) % words.size()]; };
  const std::string word = pick(0);
  const std::string quoted = "\"" + word + "\"";
  switch (draw % 6) {
    case 0:
      return {"Write " + quoted + " in capital letters.", in_capitals(word)};
    case 1:
      return {"Write " + quoted + " three times.", word + " " + word + " " + word};
    case 2:
      return {"Put " + quoted + " in square brackets.", "[" + word + "]"};
    case 3: {
      std::string spelled;
      for (const char c : word) spelled.append(spelled.empty() ? "" : "-").append(1, c);
      return {"Spell " + quoted + " with hyphens.", spelled};
    }
    case 4: {
      std::vector<std::string> some = {word, pick(1), pick(2)};
      const std::string asked = joined(some, ", ");
      std::sort(some.begin(), some.end());
      return {"Write in alphabetical order: " + asked + ".", joined(some, ", ")};
    }
    default:
      return {"Write " + quoted + " as JSON with the key \"word\".", "{\"word\": " + quoted + "}"};
  }
}

}  // namespace

Exercises arithmetic_exercises(uint64_t seed, int64_t items) {
  std::vector<Problem> problems;
  for (int a = 1; a < 100; ++a) {
    for (int b = 1; b <= a; ++b) {
      problems.push_back({Problem::sum, a, b});
      problems.push_back({Problem::difference, a, b});
      if (a <= 20 && b >= 2) problems.push_back({Problem::product, a, b});
    }
  }
  Exercises out;
  const Permutation order(problems.size(), seed, 0);
  const auto held_out = static_cast<size_t>(std::clamp<int64_t>(items, 0, static_cast<int64_t>(problems.size() / 5)));
  for (size_t i = 0; i < problems.size(); ++i) {
    const Problem p = problems[order(i)];
    const Problem other{p.kind, p.b, p.a};
    const bool has_other = p.kind != Problem::difference && p.a != p.b;
    if (i < held_out) {
      out.held_out.push_back(exercise(has_other && splitmix64(seed + i) % 2 ? other : p));
      continue;
    }
    out.training.push_back(exercise(p));
    if (has_other) out.training.push_back(exercise(other));
  }
  return out;
}

Exercises format_exercises(const std::vector<std::string>& words, uint64_t seed, int64_t items, int64_t rows) {
  const Permutation order(words.size(), seed, 1);
  std::vector<std::string> asked, learned;
  for (size_t i = 0; i < words.size(); ++i) (i < words.size() / 5 ? asked : learned).push_back(words[order(i)]);
  Exercises out;
  if (asked.empty()) return out;
  const CounterRandom random(seed, 2);
  for (int64_t i = 0; i < items; ++i) {
    out.held_out.push_back(format_exercise(asked, random.bits(static_cast<uint64_t>(i))));
  }
  for (int64_t i = 0; i < rows; ++i) {
    out.training.push_back(format_exercise(learned, random.bits(static_cast<uint64_t>(items + i))));
  }
  return out;
}

}  // namespace landfall
