// What this processor can do, and which kernel set Landfall uses on it. Read once; safe from any thread.
#pragma once

#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace landfall {

// Kernel sets from the plainest to the widest; each needs what its name says.
enum class KernelSet : uint8_t {
  reference,  // the definitions in double: slow, never chosen by itself
  scalar,     // portable C++
  neon,       // Armv8.2 with dot product
  avx2,       // AVX2, FMA, F16C
  avx512,     // AVX-512 F, BW, DQ, VL with VNNI and BF16
};

std::string_view name(KernelSet set);

// Of a table with a row for each kernel set that is compiled, the most demanding first, the row for `set`; the
// reference set is answered by the plainest.
template <class Rows>
const auto& row_for(const Rows& rows, KernelSet set) {
  for (const auto& row : rows) {
    if (row.set <= set) return row;
  }
  return *(std::end(rows) - 1);
}

// The sets this processor can run, reference excluded, plainest first.
std::vector<KernelSet> available_kernel_sets();

// The widest available set, or the one that the environment variable LANDFALL_KERNELS names; naming one that does not
// exist or cannot run here is an error that lists those that can.
Result<KernelSet> chosen_kernel_set();

// For people: "AMD EPYC ...", and the features that matter to kernels.
std::string cpu_model_name();
std::vector<std::string> cpu_features();

}  // namespace landfall
