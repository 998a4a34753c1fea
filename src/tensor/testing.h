// What the tests of operators, tapes and traces share: a batch that owns its arrays, a cache in plain memory, and error
// statistics. For tests only. Not thread-safe.
#pragma once

#include <cmath>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "tensor/access.h"
#include "tensor/operator.h"

namespace landfall {

// Rows of the given runs at their positions; tokens count up; every row's logits are wanted.
class TestBatch {
 public:
  explicit TestBatch(std::vector<Run> runs) : runs_(std::move(runs)) {
    for (const Run& run : runs_) {
      for (int32_t i = 0; i < run.count; ++i) {
        logits_rows_.push_back(static_cast<int32_t>(token_.size()));
        token_.push_back(static_cast<int32_t>(token_.size()));
        position_.push_back(run.past + i);
      }
    }
    batch_ = {token_, position_, runs_, logits_rows_};
  }
  TestBatch(const TestBatch&) = delete;
  TestBatch& operator=(const TestBatch&) = delete;
  const Batch& batch() const { return batch_; }

 private:
  std::vector<Run> runs_;
  std::vector<int32_t> token_, position_, logits_rows_;
  Batch batch_;
};

// Pages in plain memory, as many as a test needs; the runtime's cache is another.
class TestCache : public KvView {
 public:
  TestCache(CacheType type, std::vector<int32_t> widths, int32_t positions)
      : type_(type), widths_(std::move(widths)), pages_((positions + kPagePositions - 1) / kPagePositions) {}
  CacheType type() const override { return type_; }
  std::span<std::byte* const> pages(int slot, int32_t sequence) override {
    Pages& p = slots_[{slot, sequence}];
    while (static_cast<int32_t>(p.pointers.size()) < pages_) {
      const int64_t bytes = kPagePositions * cache_row_bytes(type_, widths_[static_cast<size_t>(slot)]);
      p.memory.push_back(std::make_unique<std::byte[]>(static_cast<size_t>(bytes)));
      p.pointers.push_back(p.memory.back().get());
    }
    return p.pointers;
  }

 private:
  struct Pages {
    std::vector<std::unique_ptr<std::byte[]>> memory;
    std::vector<std::byte*> pointers;
  };
  CacheType type_;
  std::vector<int32_t> widths_;
  int32_t pages_;
  std::map<std::pair<int, int32_t>, Pages> slots_;
};

// Fixed numbers in [-1, 1), evenly spread.
template <class T>
std::vector<T> fixed_numbers(int64_t n, uint32_t state) {
  std::vector<T> out(static_cast<size_t>(n));
  for (T& v : out) v = static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-23f - 1.0f;
  return out;
}

// RMS of a - b over RMS of b; the RMS of a - b itself where b is all zeros. NaN when either has one.
inline double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  double error = 0, value = 0;
  if (a.size() != b.size()) return INFINITY;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    value += b[i] * b[i];
  }
  if (value == 0) return a.empty() ? 0 : std::sqrt(error / static_cast<double>(a.size()));
  return std::sqrt(error / value);
}

}  // namespace landfall
