#include "tensor/probe_peak.h"

#include <array>

namespace landfall {

// A round is one product into each of the sums, which do not wait for each other: there are as many as the latency of a
// product (4 to 6 cycles) times those that start in a cycle. The operands are 1 and a little more in f32 and bf16.
#if defined(__x86_64__)

#define LANDFALL_ROUNDS(registers, instructions)                                                                       \
  asm volatile("mov $0x3f803f80, %%eax\n vmovd %%eax, %%xmm14\n vpbroadcastd %%xmm14, %%" registers                    \
               "14\n"                                                                                                  \
               "vmovdqa %%ymm14, %%ymm15\n"                                                                            \
               "1: .irp i,0,1,2,3,4,5,6,7,8,9,10,11\n" instructions                                                    \
               "\n .endr\n"                                                                                            \
               "dec %0\n jnz 1b\n vzeroupper"                                                                          \
               : "+r"(rounds)                                                                                          \
               :                                                                                                       \
               : "cc", "eax", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
                 "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

namespace avx512 {
__attribute__((target("avx512f,avx512vnni"))) static void int8_rounds(int64_t rounds) {
  LANDFALL_ROUNDS("zmm", "vpdpbusd %%zmm14, %%zmm14, %%zmm\\i");
}
__attribute__((target("avx512f,avx512bf16"))) static void bf16_rounds(int64_t rounds) {
  LANDFALL_ROUNDS("zmm", "vdpbf16ps %%zmm14, %%zmm14, %%zmm\\i");
}
__attribute__((target("avx512f"))) static void f32_rounds(int64_t rounds) {
  LANDFALL_ROUNDS("zmm", "vfmadd231ps %%zmm14, %%zmm14, %%zmm\\i");
}
}  // namespace avx512

namespace avx2 {
// Sums of 16 bits hold a few products of 4-bit codes before they must be widened, which other units do: the multiplier
// is the limit.
__attribute__((target("avx2"))) static void int8_rounds(int64_t rounds) {
  LANDFALL_ROUNDS("ymm", "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n vpaddw %%ymm12, %%ymm\\i, %%ymm\\i");
}
__attribute__((target("avx2,fma"))) static void f32_rounds(int64_t rounds) {
  LANDFALL_ROUNDS("ymm", "vfmadd231ps %%ymm14, %%ymm15, %%ymm\\i");
}
}  // namespace avx2

#elif defined(__aarch64__)

namespace neon {
#define LANDFALL_ROUNDS(instruction)                                                                                  \
  asm volatile(                                                                                                       \
      "movi v30.4s, #0x3f, lsl #24\n movi v31.4s, #0x3f, lsl #24\n"                                                   \
      "1: .irp i,0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23,24,25,26,27\n" instruction                                   \
      "\n .endr\n"                                                                                                    \
      "subs %0, %0, #1\n b.ne 1b"                                                                                     \
      : "+r"(rounds)                                                                                                  \
      :                                                                                                               \
      : "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", \
        "v24", "v25", "v26", "v27", "v30", "v31")
#if defined(__clang__)
__attribute__((target("dotprod")))
#else
__attribute__((target("arch=armv8.2-a+dotprod")))
#endif
static void
int8_rounds(int64_t rounds) {
  LANDFALL_ROUNDS("sdot v\\i\\().4s, v30.16b, v31.16b");
}
static void f32_rounds(int64_t rounds) { LANDFALL_ROUNDS("fmla v\\i\\().4s, v30.4s, v31.4s"); }
}  // namespace neon

#endif

// The portable kernels have what the compiler makes of plain loops, so their limit is measured on one. The empty
// assembly says that the operand may have changed.
template <class Sum, class Factor>
static void portable_rounds(int64_t rounds) {
  alignas(64) std::array<Factor, 64> x{};
  alignas(64) std::array<Sum, 64> sum{};
  for (int64_t n = 0; n < rounds; ++n) {
    asm volatile("" : "+m"(x), "+m"(sum));
    for (size_t i = 0; i < x.size(); ++i) sum[i] += static_cast<Sum>(x[i]) * static_cast<Sum>(x[i]);
  }
}

PeakLoop peak_loop(KernelSet set, Activation kind) {
#if defined(__x86_64__)
  if (set == KernelSet::avx512) {
    switch (kind) {
      case Activation::int8:
        return {avx512::int8_rounds, 12 * 2 * 64};
      case Activation::bf16:
        return {avx512::bf16_rounds, 12 * 2 * 32};
      case Activation::f32:
        return {avx512::f32_rounds, 12 * 2 * 16};
    }
  }
  if (set == KernelSet::avx2) {
    if (kind == Activation::int8) return {avx2::int8_rounds, 12 * 2 * 32};
    return {avx2::f32_rounds, 12 * 2 * 8};
  }
#elif defined(__aarch64__)
  if (set == KernelSet::neon) {
    if (kind == Activation::int8) return {neon::int8_rounds, 20 * 2 * 16};
    return {neon::f32_rounds, 20 * 2 * 4};
  }
#endif
  if (kind == Activation::int8) return {portable_rounds<int32_t, int16_t>, 2 * 64};
  return {portable_rounds<float, float>, 2 * 64};
}

void count_cycles(int64_t rounds) {
  int64_t sum = 0;
#if defined(__x86_64__)
  asm volatile("1: .rept 100\n add %1, %0\n .endr\n dec %1\n jnz 1b" : "+r"(sum), "+r"(rounds) : : "cc");
#elif defined(__aarch64__)
  asm volatile("1: .rept 100\n add %0, %0, %1\n .endr\n subs %1, %1, #1\n b.ne 1b" : "+r"(sum), "+r"(rounds) : : "cc");
#else
  for (int64_t n = 0; n < 100 * rounds; ++n) asm volatile("" : "+r"(sum));
#endif
}

}  // namespace landfall
