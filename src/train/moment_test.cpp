#include "train/moment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

namespace landfall {
namespace {

constexpr int64_t kNumbers = 1000;  // three blocks and a part of one

std::vector<float> loaded(Moment& moment) {
  std::vector<float> out;
  float room[Moment::kBlock];
  for (int64_t block = 0; block < moment.blocks(); ++block) {
    const float* numbers = moment.load(block, room);
    out.insert(out.end(), numbers, numbers + moment.size_of(block));
  }
  return out;
}

void store(Moment& moment, const std::vector<float>& numbers, const CounterRandom& random) {
  for (int64_t block = 0; block < moment.blocks(); ++block)
    moment.store(block, numbers.data() + block * Moment::kBlock, random);
}

// Over six powers of ten; of both signs where the moment has them.
std::vector<float> noise(bool with_sign) {
  const CounterRandom random(3, 1);
  std::vector<float> out(kNumbers);
  for (size_t i = 0; i < out.size(); ++i) {
    const double x = std::pow(10, 6 * random.uniform(2 * i) - 9);
    out[i] = static_cast<float>(with_sign && random.uniform(2 * i + 1) < 0.5 ? -x : x);
  }
  return out;
}

TEST(Moment, BeginsAtZero) {
  for (const auto kind : {Moment::Kind::f32, Moment::Kind::signed_8_bits, Moment::Kind::unsigned_8_bits}) {
    Moment moment(kNumbers, kind);
    EXPECT_EQ(loaded(moment), std::vector<float>(kNumbers, 0.0f));
  }
}

TEST(Moment, EightBitsAreNearAndRightOnAverage) {
  for (const bool with_sign : {true, false}) {
    Moment moment(kNumbers, with_sign ? Moment::Kind::signed_8_bits : Moment::Kind::unsigned_8_bits);
    const std::vector<float> numbers = noise(with_sign);
    std::vector<double> mean(numbers.size());
    constexpr int kDraws = 4000;
    float largest = 0;  // of a block; all have much the same
    for (float x : numbers) largest = std::max(largest, std::abs(x));
    const double step = largest * std::pow(2, with_sign ? -17 : -33);  // of the smallest numbers
    for (int draw = 0; draw < kDraws; ++draw) {
      store(moment, numbers, CounterRandom(5, static_cast<uint64_t>(draw)));
      const std::vector<float> got = loaded(moment);
      for (size_t i = 0; i < got.size(); ++i) {
        mean[i] += got[i] / kDraws;
        EXPECT_LE(std::abs(got[i] - numbers[i]), std::abs(numbers[i]) / 7.9 + step) << numbers[i];
      }
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
      // A draw is off by half a step at most on average; five standard errors.
      const double width = std::max(std::abs(numbers[i]) / 8.0, step);
      EXPECT_NEAR(mean[i], numbers[i], 5 * width / 2 / std::sqrt(kDraws)) << i;
    }
  }
}

TEST(Moment, WhatEightBitsCanSayStaysAsItIs) {
  for (const auto kind : {Moment::Kind::signed_8_bits, Moment::Kind::unsigned_8_bits}) {
    Moment moment(256, kind);
    for (size_t i = 0; i < 256; ++i) moment.codes()[i] = static_cast<std::byte>(i);
    const float scale = 0.25f;
    std::memcpy(moment.scales().data(), &scale, 4);
    const std::vector<float> numbers = loaded(moment);
    store(moment, numbers, CounterRandom(1, 1));
    EXPECT_EQ(loaded(moment), numbers);
  }
}

}  // namespace
}  // namespace landfall
