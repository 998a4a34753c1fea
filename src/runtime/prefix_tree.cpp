#include "runtime/prefix_tree.h"

#include <algorithm>

namespace landfall {
namespace {

// The tokens of the page that begins at `position`.
std::span<const int32_t> page_at(std::span<const int32_t> tokens, int64_t position) {
  const auto rest = tokens.subspan(static_cast<size_t>(position));
  return rest.first(std::min<size_t>(rest.size(), kPagePositions));
}

int64_t common_tokens(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

// Where `tokens` stand among nodes in ascending order, or would stand.
template <class Nodes>
auto place_of(Nodes& nodes, std::span<const int32_t> tokens) {
  return std::lower_bound(nodes.begin(), nodes.end(), tokens, [](const auto* node, std::span<const int32_t> wanted) {
    return std::lexicographical_compare(node->tokens.begin(), node->tokens.end(), wanted.begin(), wanted.end());
  });
}

}  // namespace

PrefixTree::~PrefixTree() {
  for (const Node& node : nodes_) cache_.release(node.page);
}

int64_t PrefixTree::adopt_pages(int32_t sequence, std::span<const int32_t> tokens, uint64_t adapter) {
  const int64_t held = cache_.length(sequence);
  Node* at = &roots_[adapter];
  for (int64_t position = 0; position < static_cast<int64_t>(tokens.size()); position += kPagePositions) {
    const Match match = closest(*at, page_at(tokens, position));
    if (match.common < kPagePositions) break;
    at = match.child;
    if (position >= held) cache_.append(sequence, at->page, kPagePositions);
  }
  use(at);
  return cache_.length(sequence) - held;
}

int64_t PrefixTree::adopt_rows(int32_t sequence, std::span<const int32_t> tokens, uint64_t adapter) {
  const int64_t held = cache_.length(sequence);
  Match match{&roots_[adapter], kPagePositions};
  for (int64_t position = 0; position <= held && match.common == kPagePositions; position += kPagePositions) {
    match = closest(*match.child, page_at(tokens, position));
    if (position < held && match.common < kPagePositions) return 0;
  }
  if (match.common == 0) return 0;
  use(match.child);
  const int32_t page = match.child->page;
  cache_.retain(page);  // it stays while others leave
  while (cache_.free_pages() == 0 && evict()) {
  }
  const bool fits = cache_.free_pages() > 0;
  if (fits) cache_.append(sequence, page, match.common);
  cache_.release(page);
  return fits ? match.common : 0;
}

void PrefixTree::insert(int32_t sequence, std::span<const int32_t> tokens, uint64_t adapter) {
  Node* at = &roots_[adapter];
  for (int64_t position = 0; position < static_cast<int64_t>(tokens.size()); position += kPagePositions) {
    const auto wanted = page_at(tokens, position);
    const auto [child, common] = closest(*at, wanted);
    if (common == static_cast<int64_t>(wanted.size())) {  // there, or the beginning of one that is there
      at = child;
      continue;
    }
    if (child && common == static_cast<int64_t>(child->tokens.size())) drop(child);  // ours goes on where it ends
    Node& added = nodes_.emplace_front();
    added.parent = at;
    added.tokens.assign(wanted.begin(), wanted.end());
    added.page = cache_.page(sequence, position / kPagePositions);
    added.place = nodes_.begin();
    cache_.retain(added.page);
    at->children.insert(place_of(at->children, wanted), &added);
    at = &added;
  }
  use(at);
}

bool PrefixTree::evict() {
  if (nodes_.empty()) return false;
  // Dropping a page that a sequence uses frees nothing, but lets those above it go.
  const auto unused = std::find_if(nodes_.rbegin(), nodes_.rend(), [&](const Node& node) {
    return node.children.empty() && cache_.users(node.page) == 1;
  });
  drop(unused != nodes_.rend() ? &*unused : &nodes_.back());
  std::erase_if(roots_, [](const auto& root) { return root.second.children.empty(); });
  return true;
}

// In ascending order, the neighbours of a key share the longest beginnings with it.
PrefixTree::Match PrefixTree::closest(const Node& parent, std::span<const int32_t> tokens) {
  Match best;
  const auto next = place_of(parent.children, tokens);
  if (next != parent.children.end()) best = {*next, common_tokens((*next)->tokens, tokens)};
  if (next != parent.children.begin()) {
    Node* before = *std::prev(next);
    const int64_t common = common_tokens(before->tokens, tokens);
    if (common > best.common) best = {before, common};
  }
  return best;
}

void PrefixTree::use(Node* node) {
  for (; node->parent; node = node->parent) nodes_.splice(nodes_.begin(), nodes_, node->place);
}

void PrefixTree::drop(Node* node) {
  auto& siblings = node->parent->children;
  siblings.erase(place_of(siblings, node->tokens));
  cache_.release(node->page);
  nodes_.erase(node->place);
}

}  // namespace landfall
