#include "base/numa.h"

#if defined(__linux__)
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <vector>

namespace landfall {
namespace {

#if defined(__linux__)

// What <numaif.h> of libnuma would give: the calls take a policy and a mask of nodes. `nodes` ascend.
struct Policy {
  static constexpr size_t kBits = 8 * sizeof(unsigned long);
  explicit Policy(std::span<const int> nodes)
      : mode(nodes.empty()       ? MPOL_DEFAULT
             : nodes.size() == 1 ? MPOL_PREFERRED
                                 : MPOL_INTERLEAVE) {
    if (nodes.empty()) return;
    mask.resize(static_cast<size_t>(*std::max_element(nodes.begin(), nodes.end())) / kBits + 1);
    for (int node : nodes) mask[static_cast<size_t>(node) / kBits] |= 1ul << (static_cast<size_t>(node) % kBits);
  }
  const unsigned long* data() const { return mask.empty() ? nullptr : mask.data(); }
  unsigned long bits() const { return mask.empty() ? 0 : mask.size() * kBits + 1; }  // the system takes one off

  int mode;
  std::vector<unsigned long> mask;
};

class RealNuma : public Numa {
 public:
  bool bind_thread(std::span<const int> processors) override {
    if (processors.empty()) return false;
    const auto count = static_cast<size_t>(*std::max_element(processors.begin(), processors.end())) + 1;
    cpu_set_t* set = CPU_ALLOC(count);
    const size_t bytes = CPU_ALLOC_SIZE(count);
    CPU_ZERO_S(bytes, set);
    for (int processor : processors) CPU_SET_S(static_cast<size_t>(processor), bytes, set);
    const bool done = ::sched_setaffinity(0, bytes, set) == 0;
    CPU_FREE(set);
    return done;
  }
  bool place(std::byte* begin, size_t bytes, std::span<const int> nodes) override {
    const Policy policy(nodes);
    return ::syscall(SYS_mbind, begin, bytes, policy.mode, policy.data(), policy.bits(), 0) == 0;
  }
  bool place_new_pages(std::span<const int> nodes) override {
    const Policy policy(nodes);
    return ::syscall(SYS_set_mempolicy, policy.mode, policy.data(), policy.bits()) == 0;
  }
};

#else

class RealNuma : public Numa {
 public:
  bool bind_thread(std::span<const int>) override { return false; }
  bool place(std::byte*, size_t, std::span<const int>) override { return false; }
  bool place_new_pages(std::span<const int>) override { return false; }
};

#endif

}  // namespace

Numa& Numa::real() {
  static RealNuma numa;
  return numa;
}

}  // namespace landfall
