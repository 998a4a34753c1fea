#include "runtime/kv_cache.h"

#include <algorithm>
#include <cstring>

namespace landfall {
namespace {

// Pages are allocated together, so that memory in pages of 2 MiB can serve them: rows are read straight through.
constexpr int64_t kAllocatedBytes = int64_t{32} << 20;

}  // namespace

KvCache::KvCache(std::vector<CacheSlot> slots, CacheType type, int64_t positions)
    : slots_(std::move(slots)), type_(type) {
  for (const CacheSlot& slot : slots_) {
    slot_offset_.push_back(page_bytes_);
    page_bytes_ += (kPagePositions * cache_row_bytes(type_, slot.width) + 63) / 64 * 64;
  }
  total_pages_ = free_pages_ = (positions + kPagePositions - 1) / kPagePositions;
}

int64_t KvCache::bytes_per_position(const std::vector<CacheSlot>& slots, CacheType type) {
  int64_t bytes = 0;
  for (const CacheSlot& slot : slots) bytes += cache_row_bytes(type, slot.width);
  return bytes;
}

bool KvCache::is_open(int32_t sequence) const {
  return sequence >= 0 && static_cast<size_t>(sequence) < sequences_.size() &&
         sequences_[static_cast<size_t>(sequence)].open;
}

Result<int32_t> KvCache::open(int64_t expanded_until) {
  size_t id = 0;
  while (id < sequences_.size() && sequences_[id].open) ++id;
  if (id == sequences_.size()) sequences_.emplace_back();
  Sequence& s = sequences_[id];
  s = {};
  s.open = true;
  s.expanded_until = expanded_until;
  s.slot_pages.resize(slots_.size());
  return static_cast<int32_t>(id);
}

Result<int32_t> KvCache::fork(int32_t from) {
  if (!is_open(from)) return Status(Code::not_found, "there is no sequence " + std::to_string(from));
  const bool partial = length(from) % kPagePositions != 0;
  if (partial && free_pages_ < 1)
    return Status(Code::resource_exhausted, "the cache has no free page for a copy of the sequence");
  LANDFALL_ASSIGN(const int32_t id, open(expanded_until(from)));
  Sequence& to = sequences_[static_cast<size_t>(id)];
  const Sequence& source = sequences_[static_cast<size_t>(from)];
  to.length = source.length;
  for (size_t i = 0; i < source.pages.size(); ++i) {
    int32_t page = source.pages[i];
    if (partial && i + 1 == source.pages.size()) {  // the open page will be written by both: each needs its own
      page = copy_page(page);
    } else {
      retain(page);
    }
    add_page(to, page);
  }
  return id;
}

Status KvCache::truncate(int32_t sequence, int64_t length) {
  if (!is_open(sequence)) return Status(Code::not_found, "there is no sequence " + std::to_string(sequence));
  Sequence& s = sequences_[static_cast<size_t>(sequence)];
  if (length < 0 || length > s.length) {
    return Status(Code::invalid_argument,
                  "cannot cut a sequence of " + std::to_string(s.length) + " positions to " + std::to_string(length));
  }
  const auto keep = static_cast<size_t>((length + kPagePositions - 1) / kPagePositions);
  auto drop_last = [&] {
    release(s.pages.back());
    s.pages.pop_back();
    for (auto& list : s.slot_pages) list.pop_back();
  };
  // A shared page that the cut leaves open would be written next: it is replaced by a copy of our own.
  const auto users = [&](size_t i) { return pages_[static_cast<size_t>(s.pages[i])].users; };
  const bool copy = length % kPagePositions != 0 && users(keep - 1) > 1;
  bool room = free_pages_ > 0;
  for (size_t i = keep; i < s.pages.size(); ++i) room = room || users(i) == 1;
  if (copy && !room) return Status(Code::resource_exhausted, "the cache has no free page for a copy of the shared one");
  while (s.pages.size() > keep) drop_last();
  if (copy) {
    const int32_t page = copy_page(s.pages.back());
    drop_last();
    add_page(s, page);
  }
  s.length = length;
  return {};
}

void KvCache::close(int32_t sequence) {
  if (!is_open(sequence)) return;
  Sequence& s = sequences_[static_cast<size_t>(sequence)];
  for (int32_t page : s.pages) release(page);
  s = {};
}

int64_t KvCache::pages_needed(int32_t sequence, int64_t count) const {
  const Sequence& s = sequences_[static_cast<size_t>(sequence)];
  return (s.length + count + kPagePositions - 1) / kPagePositions - static_cast<int64_t>(s.pages.size());
}

int64_t KvCache::used_bytes() const {
  return (static_cast<int64_t>(pages_.size()) - static_cast<int64_t>(idle_.size())) * page_bytes_;
}

void KvCache::extend(int32_t sequence, int64_t count) {
  Sequence& s = sequences_[static_cast<size_t>(sequence)];
  for (int64_t n = pages_needed(sequence, count); n > 0; --n) add_page(s, take_page());
  s.length += count;
}

int32_t KvCache::page(int32_t sequence, int64_t index) const {
  return sequences_[static_cast<size_t>(sequence)].pages[static_cast<size_t>(index)];
}

void KvCache::append(int32_t sequence, int32_t page, int64_t count) {
  Sequence& s = sequences_[static_cast<size_t>(sequence)];
  LANDFALL_CHECK(s.length % kPagePositions == 0 && count >= 0 && count <= kPagePositions);
  if (count == kPagePositions) {
    retain(page);
  } else {
    page = copy_page(page);
  }
  add_page(s, page);
  s.length += count;
}

std::span<std::byte* const> KvCache::pages(int slot, int32_t sequence) {
  return sequences_[static_cast<size_t>(sequence)].slot_pages[static_cast<size_t>(slot)];
}

int32_t KvCache::take_page() {
  LANDFALL_CHECK(free_pages_ > 0);
  --free_pages_;
  if (idle_.empty()) allocate_pages();
  const int32_t page = idle_.back();
  idle_.pop_back();
  pages_[static_cast<size_t>(page)].users = 1;
  return page;
}

void KvCache::allocate_pages() {
  const auto first = static_cast<int64_t>(pages_.size());
  const int64_t count =
      std::clamp<int64_t>(kAllocatedBytes / std::max<int64_t>(page_bytes_, 1), 1, total_pages_ - first);
  memory_.push_back(Buffer::allocate(static_cast<size_t>(count * page_bytes_)));
  LANDFALL_CHECK(memory_.back() != nullptr, "no address space for pages of the cache");
  for (int64_t i = 0; i < count; ++i) pages_.push_back({memory_.back()->host() + i * page_bytes_, 0});
  for (int64_t i = count; i-- > 0;) idle_.push_back(static_cast<int32_t>(first + i));
}

int32_t KvCache::copy_page(int32_t page) {
  const int32_t copy = take_page();
  std::memcpy(pages_[static_cast<size_t>(copy)].data, pages_[static_cast<size_t>(page)].data,
              static_cast<size_t>(page_bytes_));
  return copy;
}

void KvCache::release(int32_t page) {
  if (--pages_[static_cast<size_t>(page)].users > 0) return;
  idle_.push_back(page);
  ++free_pages_;
}

void KvCache::add_page(Sequence& s, int32_t page) {
  s.pages.push_back(page);
  for (size_t slot = 0; slot < slots_.size(); ++slot) {
    s.slot_pages[slot].push_back(pages_[static_cast<size_t>(page)].data + slot_offset_[slot]);
  }
}

}  // namespace landfall
