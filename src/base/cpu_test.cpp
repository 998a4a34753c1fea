#include "base/cpu.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>

namespace landfall {
namespace {

TEST(Cpu, PortableKernelsAreAlwaysThereAndSetsAreSorted) {
  const std::vector<KernelSet> sets = available_kernel_sets();
  ASSERT_FALSE(sets.empty());
  EXPECT_EQ(sets.front(), KernelSet::scalar);
  EXPECT_TRUE(std::is_sorted(sets.begin(), sets.end()));
  EXPECT_FALSE(cpu_model_name().empty());
}

TEST(Cpu, TheEnvironmentForcesASet) {
  const char* before = ::getenv("LANDFALL_KERNELS");
  const std::string kept = before ? before : "";
  ::unsetenv("LANDFALL_KERNELS");
  EXPECT_EQ(chosen_kernel_set().value(), available_kernel_sets().back());
  for (KernelSet set : available_kernel_sets()) {
    ::setenv("LANDFALL_KERNELS", std::string(name(set)).c_str(), 1);
    EXPECT_EQ(chosen_kernel_set().value(), set);
  }
  ::setenv("LANDFALL_KERNELS", "abacus", 1);
  const Result<KernelSet> unknown = chosen_kernel_set();
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("abacus"), std::string::npos) << unknown.status().message();
  EXPECT_NE(unknown.status().message().find("scalar"), std::string::npos) << "lists those that can";
  ::setenv("LANDFALL_KERNELS", "reference", 1);
  EXPECT_FALSE(chosen_kernel_set().ok()) << "it computes in double, without a cache, for tests alone";
  before ? ::setenv("LANDFALL_KERNELS", kept.c_str(), 1) : ::unsetenv("LANDFALL_KERNELS");
}

}  // namespace
}  // namespace landfall
