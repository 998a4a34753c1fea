#include "lifecycle/training_memory.h"

#include "lifecycle/watch.h"

namespace landfall {

int64_t least_training_bytes(int64_t numbers, Precision precision, const OptimizerOptions& optimizer) {
  // Muon has one moment of a number, AdamW two, of 8 bits where asked for.
  return numbers * (8 + (precision == Precision::bf16 ? 2 : 4) + (optimizer.small_moments ? 2 : 4));
}

Status check_training_memory(int64_t needed, int64_t available, const std::string& advice) {
  if (needed <= available) return {};
  return Status(Code::resource_exhausted, "training takes about " + size_text(static_cast<uint64_t>(needed)) +
                                              ", and " + size_text(static_cast<uint64_t>(available)) + " are free; " +
                                              advice);
}

}  // namespace landfall
