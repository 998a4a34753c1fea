// Pages of cached rows for every sequence of an Engine. A page holds kPagePositions positions of all slots of the
// model. Full pages may be shared between sequences, and kept by others beyond these; shared pages are never written.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "tensor/kv.h"
#include "tensor/tensor.h"

namespace landfall {

class KvCache : public KvView {
 public:
  KvCache(std::vector<CacheSlot> slots, CacheType type, int64_t positions);

  static int64_t bytes_per_position(const std::vector<CacheSlot>& slots, CacheType type);

  // Rows at positions before `expanded_until` take the expanded form of latent attention, later ones the absorbed.
  Result<int32_t> open(int64_t expanded_until);
  Result<int32_t> fork(int32_t from);
  Status truncate(int32_t sequence, int64_t length);
  void close(int32_t sequence);

  int64_t length(int32_t sequence) const { return sequences_[static_cast<size_t>(sequence)].length; }
  bool is_open(int32_t sequence) const;
  int64_t expanded_until(int32_t sequence) const { return sequences_[static_cast<size_t>(sequence)].expanded_until; }
  void set_expanded_until(int32_t sequence, int64_t position) {
    sequences_[static_cast<size_t>(sequence)].expanded_until = position;
  }
  // Pages that `count` more positions would take.
  int64_t pages_needed(int32_t sequence, int64_t count) const;
  int64_t free_pages() const { return free_pages_; }
  int64_t total_pages() const { return total_pages_; }
  int64_t used_bytes() const;
  // Makes room behind the sequence. Pages must be free.
  void extend(int32_t sequence, int64_t count);

  // Pages by number, for who keeps them apart from sequences: one user more, one less. Rows of a page that has another
  // user are not written again; its sequence may go on behind them.
  int32_t page(int32_t sequence, int64_t index) const;
  int32_t users(int32_t page) const { return pages_[static_cast<size_t>(page)].users; }
  void retain(int32_t page) { ++pages_[static_cast<size_t>(page)].users; }
  void release(int32_t page);
  // Puts the first `count` rows of a page behind a sequence whose pages are full: all of them by sharing the page,
  // fewer as a copy, for which one page must be free.
  void append(int32_t sequence, int32_t page, int64_t count);

  CacheType type() const override { return type_; }
  std::span<std::byte* const> pages(int slot, int32_t sequence) override;

 private:
  struct Page {
    std::byte* data;
    int32_t users = 0;
  };
  struct Sequence {
    bool open = false;
    int64_t expanded_until = 0;
    int64_t length = 0;
    std::vector<int32_t> pages;
    std::vector<std::vector<std::byte*>> slot_pages;  // [slot][page]: what pages() hands out
  };
  int32_t take_page();
  void allocate_pages();
  int32_t copy_page(int32_t page);
  void add_page(Sequence& s, int32_t page);

  std::vector<CacheSlot> slots_;
  std::vector<int64_t> slot_offset_;  // bytes within a page
  CacheType type_;
  int64_t page_bytes_ = 0;
  int64_t total_pages_ = 0;
  int64_t free_pages_ = 0;                       // may still be taken, allocated or not
  std::vector<std::unique_ptr<Buffer>> memory_;  // each for several pages
  std::vector<Page> pages_;
  std::vector<int32_t> idle_;  // allocated pages without users
  std::vector<Sequence> sequences_;
};

}  // namespace landfall
