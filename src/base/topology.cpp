#include "base/topology.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <map>

namespace landfall {
namespace {

constexpr int kMostNumber = 65535;
constexpr size_t kMostText = 64 << 10;

// One number at the start of `text`, which moves behind it; -1 when there is none.
int take_number(std::string_view& text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0 || value > kMostNumber) return -1;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

Result<std::vector<int>> read_cpu_list(Env& env, const std::string& path) {
  LANDFALL_ASSIGN(const std::string text, env.read(path, kMostText));
  return parse_cpu_list(text);
}

// The node of each processor; empty unless every one of `allowed` has one.
std::map<int, int> read_nodes(Env& env, std::span<const int> allowed, const std::string& folder) {
  std::map<int, int> node_of;
  const auto online = read_cpu_list(env, folder + "/online");
  if (!online.ok()) return {};
  for (int node : *online) {
    const auto list = read_cpu_list(env, folder + "/node" + std::to_string(node) + "/cpulist");
    if (!list.ok()) return {};
    for (int processor : *list) node_of.emplace(processor, node);
  }
  for (int processor : allowed) {
    if (!node_of.count(processor)) return {};
  }
  return node_of;
}

// The first usable hardware thread of the core that `processor` belongs to; itself where nothing is said.
int first_sibling(Env& env, int processor, std::span<const int> allowed, const std::string& folder) {
  const auto siblings =
      read_cpu_list(env, folder + "/cpu" + std::to_string(processor) + "/topology/thread_siblings_list");
  if (!siblings.ok() || !std::binary_search(siblings->begin(), siblings->end(), processor)) return processor;
  for (int sibling : *siblings) {
    if (std::binary_search(allowed.begin(), allowed.end(), sibling)) return sibling;
  }
  return processor;
}

// cgroup v2: "<microseconds> <period>", or "max <period>" without a limit.
int read_quota(Env& env, const std::string& path) {
  const auto text = env.read(path, kMostText);
  if (!text.ok()) return 0;
  const char* end = text->data() + text->size();
  int64_t quota = 0, period = 0;
  const auto first = std::from_chars(text->data(), end, quota);
  if (first.ec != std::errc() || first.ptr == end) return 0;
  const auto second = std::from_chars(first.ptr + 1, end, period);
  if (second.ec != std::errc() || quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::clamp<int64_t>(quota / period + (quota % period != 0), 1, kMostNumber));
}

std::vector<int> allowed_processors() {
  std::vector<int> out;
  // The call fails when the mask is smaller than the system's own.
  for (int size = CPU_SETSIZE; size <= kMostNumber + 1; size *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(size));
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(size));
    CPU_ZERO_S(bytes, set);
    const bool known = ::sched_getaffinity(0, bytes, set) == 0;
    for (int i = 0; known && i < size; ++i) {
      if (CPU_ISSET_S(static_cast<size_t>(i), bytes, set)) out.push_back(i);
    }
    CPU_FREE(set);
    if (known) break;
  }
  return out;
}

}  // namespace

std::vector<int> Topology::nodes() const {
  std::vector<int> out;
  for (const Core& core : cores) {
    if (out.empty() || out.back() != core.node) out.push_back(core.node);
  }
  return out;
}

int Topology::usable_processors() const { return quota > 0 ? std::min(processors, quota) : processors; }

int Topology::default_threads() const { return std::min(static_cast<int>(cores.size()), usable_processors()); }

const Topology::Core& Topology::core_of(int thread, int threads) const {
  return cores[static_cast<size_t>(thread) * cores.size() / static_cast<size_t>(threads)];
}

Result<std::vector<int>> parse_cpu_list(std::string_view text) {
  const auto wrong = [whole = text.substr(0, 100)] {
    return Status(Code::data_loss, "'" + std::string(whole) +
                                       "' is not a list of processors; one looks like '0-3,8' with numbers up to " +
                                       std::to_string(kMostNumber));
  };
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::vector<bool> named;
  while (!text.empty()) {
    const int first = take_number(text), last = take(text, '-') ? take_number(text) : first;
    if (first < 0 || last < first) return wrong();
    if (named.size() <= static_cast<size_t>(last)) named.resize(static_cast<size_t>(last) + 1);
    std::fill(named.begin() + first, named.begin() + last + 1, true);
    if (!text.empty() && (!take(text, ',') || text.empty())) return wrong();
  }
  std::vector<int> out;
  for (size_t i = 0; i < named.size(); ++i) {
    if (named[i]) out.push_back(static_cast<int>(i));
  }
  return out;
}

Topology read_topology(Env& env, std::span<const int> allowed, const std::string& root) {
  Topology out;
  out.quota = read_quota(env, root + "/sys/fs/cgroup/cpu.max");
  const std::map<int, int> node_of = read_nodes(env, allowed, root + "/sys/devices/system/node");
  std::map<int, std::vector<int>> siblings;  // by the first of them
  for (int processor : allowed)
    siblings[first_sibling(env, processor, allowed, root + "/sys/devices/system/cpu")].push_back(processor);
  for (auto& [first, processors] : siblings)
    out.cores.push_back({node_of.empty() ? 0 : node_of.at(first), std::move(processors)});
  std::stable_sort(out.cores.begin(), out.cores.end(), [](const auto& a, const auto& b) { return a.node < b.node; });
  if (out.cores.empty()) out.cores.push_back({0, {0}});  // the system does not even say where we may run
  out.processors = std::max(1, static_cast<int>(allowed.size()));
  return out;
}

const Topology& this_machine() {
  static const Topology machine = read_topology(Env::real(), allowed_processors());
  return machine;
}

}  // namespace landfall
