// What the cache holds of earlier tokens, for sequences that begin with the same ones: a radix tree over token ids
// whose edges are cache pages. A node is one page, named by the tokens of its rows; only a full page has nodes below
// it. The tree is one more user of every page in it, so a page serves any number of sequences and outlives them all.
//
// Sharing is copy-on-write: a full page is shared as it is and never written again, and rows from the beginning of a
// page are copied into a page of the sequence's own. Pages leave one by one, least recently used first, from the ends
// of the tree.
//
// Rows depend on the adapter that they were read with, so each has a root of its own, by its identity (0: none); pages
// of one that is gone are found by nobody and leave in their turn.
//
// Rows are taken as they are, in whichever form of latent attention they were made: where a long prompt (expanded) goes
// on behind an earlier answer or a short prompt (absorbed), their rows differ from fresh ones by rounding. Otherwise,
// and with grouped-query attention always, rows from the tree equal fresh ones to the last bit.
//
// Belongs to the thread that steps the Engine, whose cache it refers to and which outlives it.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <vector>

#include "runtime/kv_cache.h"

namespace landfall {

class PrefixTree {
 public:
  explicit PrefixTree(KvCache& cache) : cache_(cache) {}
  ~PrefixTree();
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  // Both put rows of `tokens` behind a sequence that holds a number of whole pages, which are the first of `tokens`,
  // and return how many. Whole pages are shared; the beginning of one is copied, for which another page is evicted
  // where none is free, and left out where none can be.
  int64_t adopt_pages(int32_t sequence, std::span<const int32_t> tokens, uint64_t adapter = 0);
  int64_t adopt_rows(int32_t sequence, std::span<const int32_t> tokens, uint64_t adapter = 0);

  // Takes up the sequence's first pages, which hold `tokens`. What is there already stays, and the sequence keeps its
  // own.
  void insert(int32_t sequence, std::span<const int32_t> tokens, uint64_t adapter = 0);

  // Drops one page: of those at an end of the tree the least recently used, and one that no sequence uses before any
  // other. False when the tree is empty.
  bool evict();

  int64_t pages() const { return static_cast<int64_t>(nodes_.size()); }

 private:
  struct Node {
    Node* parent = nullptr;       // null: a root, which holds no page
    std::vector<int32_t> tokens;  // of the page's rows
    int32_t page = -1;
    std::vector<Node*> children;  // ascending by tokens; none is the beginning of another
    std::list<Node>::iterator place;
  };
  struct Match {
    Node* child = nullptr;
    int64_t common = 0;
  };
  static Match closest(const Node& parent, std::span<const int32_t> tokens);
  void use(Node* node);
  void drop(Node* node);

  KvCache& cache_;
  std::map<uint64_t, Node> roots_;  // by adapter
  std::list<Node> nodes_;  // most recently used first; each before all that stand below it, so the last is an end
};

}  // namespace landfall
