#include "model/placement.h"

#include <algorithm>

#include "tensor/access.h"
#include "tensor/format.h"
#include "tensor/weight.h"

namespace landfall {

// Smaller parts would fall to 4 KiB pages, which cost all readers more than half a page on the other node costs a few.
constexpr int64_t kPage = int64_t{2} << 20;

std::vector<PlacedRange> placement(int64_t panels, int64_t panel_bytes, int64_t offset, std::span<const int> nodes,
                                   int64_t page) {
  const auto threads = static_cast<int>(nodes.size());
  const int64_t last = (offset + panels * panel_bytes) / page * page;
  std::vector<PlacedRange> out;
  int64_t begin = (offset + page - 1) / page * page;
  for (int t = 1; t <= threads && begin < last; ++t) {
    if (t < threads && nodes[static_cast<size_t>(t)] == nodes[static_cast<size_t>(t - 1)]) continue;
    const int64_t exact = offset + even_range(panels, 1, threads, t - 1).end * panel_bytes;
    const int64_t end = t == threads ? last : std::min(last, (exact + page / 2) / page * page);
    if (begin < end) out.push_back({begin, end, nodes[static_cast<size_t>(t - 1)]});
    begin = std::max(begin, end);
  }
  return out;
}

bool place_in_turn(Buffer& memory, const ThreadPool& pool) {
  return pool.numa().place(memory.host(), memory.size(), pool.nodes());
}

bool place_by_thread(const Weight& weight, const ThreadPool& pool) {
  const int64_t panels = weight.experts * weight.panels();
  for (const PlacedRange& range :
       placement(panels, weight_bytes(weight) / panels, weight.offset, pool.nodes(), kPage)) {
    if (!pool.numa().place(weight.buffer->host() + range.begin, static_cast<size_t>(range.end - range.begin),
                           {&range.node, 1}))
      return false;
  }
  return true;
}

}  // namespace landfall
