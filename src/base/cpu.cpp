#include "base/cpu.h"

#include <cstdlib>
#include <fstream>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace landfall {
namespace {

constexpr KernelSet kSets[] = {KernelSet::reference, KernelSet::scalar, KernelSet::neon, KernelSet::avx2,
                               KernelSet::avx512};

#if defined(__x86_64__)
// clang 14 has no name for this feature, so the processor is asked directly: leaf 1, ECX bit 29.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}
#endif

bool runs_here(KernelSet set) {
  switch (set) {
    case KernelSet::reference:
    case KernelSet::scalar:
      return true;
#if defined(LANDFALL_SCALAR_ONLY)
#elif defined(__x86_64__)
    case KernelSet::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    case KernelSet::avx512:
      return runs_here(KernelSet::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16") &&
             __builtin_cpu_supports("avx512vbmi");
#elif defined(__aarch64__)
    case KernelSet::neon:
      return (getauxval(AT_HWCAP) & (1UL << 20)) != 0;  // HWCAP_ASIMDDP
#endif
    default:
      return false;
  }
}

}  // namespace

std::string_view name(KernelSet set) {
  constexpr std::string_view kNames[] = {"reference", "scalar", "neon", "avx2", "avx512"};
  return kNames[static_cast<size_t>(set)];
}

std::vector<KernelSet> available_kernel_sets() {
  std::vector<KernelSet> out;
  for (KernelSet set : kSets) {
    if (set != KernelSet::reference && runs_here(set)) out.push_back(set);
  }
  return out;
}

Result<KernelSet> chosen_kernel_set() {
  const char* forced = std::getenv("LANDFALL_KERNELS");
  if (!forced || !*forced) return available_kernel_sets().back();
  std::string known;
  for (KernelSet set : available_kernel_sets()) {
    if (name(set) == forced) return set;
    known += (known.empty() ? "" : ", ") + std::string(name(set));
  }
  return Status(Code::invalid_argument,
                "LANDFALL_KERNELS=" + std::string(forced) + " is not a kernel set of this processor; it has: " + known);
}

std::string cpu_model_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(':') != std::string::npos) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::vector<std::string> cpu_features() {
  std::vector<std::string> out;
#if defined(__x86_64__)
#define LANDFALL_FEATURE(f) \
  if (__builtin_cpu_supports(f)) out.push_back(f)
  LANDFALL_FEATURE("avx");
  LANDFALL_FEATURE("avx2");
  LANDFALL_FEATURE("fma");
  if (has_f16c()) out.push_back("f16c");
  LANDFALL_FEATURE("avx512f");
  LANDFALL_FEATURE("avx512bw");
  LANDFALL_FEATURE("avx512vnni");
  LANDFALL_FEATURE("avx512vbmi");
  LANDFALL_FEATURE("avx512bf16");
#undef LANDFALL_FEATURE
#elif defined(__aarch64__)
  out.push_back("neon");
  if (runs_here(KernelSet::neon)) out.push_back("dotprod");
#endif
  return out;
}

}  // namespace landfall
