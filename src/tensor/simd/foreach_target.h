// Compiles LANDFALL_TARGET_FILE once per kernel set of this processor family, each time in its own namespace
// (landfall::scalar, avx2, avx512, neon) with that set's instructions allowed and its vector wrapper in scope.
// Only our own .inl files stand inside the regions: a library header compiled there would put wide instructions into
// functions that the linker shares with the portable code.
//
//   #define LANDFALL_TARGET_FILE "tensor/ops/rms_norm.inl"
//   #include "tensor/simd/foreach_target.h"
//
// The file to be compiled has no include guard.

// The order of what follows matters.
// clang-format off

#include <cstdint>
#include <cstring>

#include "tensor/access.h"
#include "tensor/simd/kernel_sets.h"
#if defined(LANDFALL_X86_SETS)
#include <immintrin.h>
#elif defined(LANDFALL_ARM_SETS)
#include <arm_neon.h>
#endif

// Short loops over registers are unrolled, or GCC keeps the accumulators in memory.
#undef LANDFALL_UNROLL
#undef LANDFALL_INLINE
#if defined(__clang__)
#define LANDFALL_UNROLL _Pragma("unroll")
#else
#define LANDFALL_UNROLL _Pragma("GCC unroll 16")
#endif
#define LANDFALL_INLINE __attribute__((always_inline)) inline

namespace landfall {
// Four bytes from anywhere.
inline int32_t read_i32(const void* p) {
  int32_t four;
  std::memcpy(&four, p, 4);
  return four;
}
}  // namespace landfall

namespace landfall::scalar {
#define LANDFALL_VECTOR_SCALAR 1
#include "tensor/simd/vector_scalar.inl"
#include "tensor/simd/math.inl"
#include LANDFALL_TARGET_FILE
#undef LANDFALL_VECTOR_SCALAR
#undef LANDFALL_HAS_BF16_DOT
}  // namespace landfall::scalar

#if defined(LANDFALL_X86_SETS)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
namespace landfall::avx2 {
#include "tensor/simd/vector_avx2.inl"
#include "tensor/simd/math.inl"
#include LANDFALL_TARGET_FILE
}  // namespace landfall::avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512bf16"))), \
    apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx512bf16,prefer-vector-width=512")
#endif
namespace landfall::avx512 {
#include "tensor/simd/vector_avx512.inl"
#include "tensor/simd/math.inl"
#include LANDFALL_TARGET_FILE
#undef LANDFALL_HAS_BF16_DOT
}  // namespace landfall::avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#elif defined(LANDFALL_ARM_SETS)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif
namespace landfall::neon {
#include "tensor/simd/vector_neon.inl"
#include "tensor/simd/math.inl"
#include LANDFALL_TARGET_FILE
}  // namespace landfall::neon
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

#undef LANDFALL_TARGET_FILE

// clang-format on
