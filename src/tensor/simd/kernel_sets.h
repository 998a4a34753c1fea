// Which kernel sets are compiled for this processor family, and tables with a row for each. With LANDFALL_SCALAR_ONLY
// none but the portable one, which is what fuzzing of parsers needs.
#pragma once

#if defined(LANDFALL_SCALAR_ONLY)
#elif defined(__x86_64__)
#define LANDFALL_X86_SETS 1
#elif defined(__aarch64__)
#define LANDFALL_ARM_SETS 1
#endif

// LANDFALL_EACH_SET(ROW, ...): ROW(set, ...) for every set, the best one first; a set is the name of its KernelSet and
// of its namespace.
#if defined(LANDFALL_X86_SETS)
#define LANDFALL_EACH_SET(ROW, ...) \
  ROW(avx512 __VA_OPT__(, ) __VA_ARGS__) ROW(avx2 __VA_OPT__(, ) __VA_ARGS__) ROW(scalar __VA_OPT__(, ) __VA_ARGS__)
#elif defined(LANDFALL_ARM_SETS)
#define LANDFALL_EACH_SET(ROW, ...) ROW(neon __VA_OPT__(, ) __VA_ARGS__) ROW(scalar __VA_OPT__(, ) __VA_ARGS__)
#else
#define LANDFALL_EACH_SET(ROW, ...) ROW(scalar __VA_OPT__(, ) __VA_ARGS__)
#endif

// LANDFALL_KERNELS(function): rows of a Kernel table for a function that every set's namespace defines.
#define LANDFALL_KERNEL_ROW(set, function) {KernelSet::set, set::function},
#define LANDFALL_KERNELS(function) LANDFALL_EACH_SET(LANDFALL_KERNEL_ROW, function)
