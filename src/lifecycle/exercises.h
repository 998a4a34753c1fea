// Exercises with one right answer, made up from numbers and words: what is learned and what is asked never share a
// problem. Pure functions of their arguments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace landfall {

struct Exercise {
  std::string question, answer;
};

struct Exercises {
  std::vector<Exercise> held_out, training;
};

// Sums and differences of numbers from 1 to 99, products of 2 to 20: every problem once. The other order of a sum or
// product that is held out is not learned either. `items` are held out, at most a fifth of all.
Exercises arithmetic_exercises(uint64_t seed, int64_t items);

// Capitals, repetition, brackets, spelling, alphabetical order, JSON. A word serves either side, never both. `words`
// are distinct; `rows` are for training.
Exercises format_exercises(const std::vector<std::string>& words, uint64_t seed, int64_t items, int64_t rows);

}  // namespace landfall
