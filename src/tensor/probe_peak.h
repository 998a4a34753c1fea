// Loops that keep the multipliers of one core busy and touch no memory, and one that counts cycles. They are written in
// assembly: out of a loop in C++ compilers moved the multiplication, because its operands do not change, or they
// spilled the sums, and then the time was not that of the limit and differed between compilers.
//
// What to expect is clock x width. An int8 product of 512 bits is 64 multiply-adds, which count 128 operations. Zen 4
// passes it through 256-bit multipliers and starts one a cycle: 128 x 3.7 GHz = 474 GOP/s for a core. Zen 5 and Intel's
// servers start two, 256 operations a cycle, and no processor starts more. The test holds the loops to that, with the
// clock measured beside them.
#pragma once

#include <cstdint>

#include "base/cpu.h"
#include "tensor/format.h"

namespace landfall {

struct PeakLoop {
  void (*run)(int64_t rounds);
  double operations;  // of one round; a multiply-add counts two
};

// The loop over the widest product that the set's kernels can use. A set without bf16 products multiplies in f32.
PeakLoop peak_loop(KernelSet set, Activation kind);

// Takes `rounds` x 100 cycles: additions of which each needs the one before, at one cycle each on every processor.
void count_cycles(int64_t rounds);

}  // namespace landfall
