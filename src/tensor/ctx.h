// The contract between a forward pass and whoever reads it. Model code calls operators (tensor/ops.h); each call goes
// to the Reader of the Ctx, which decides what it means: run computes now, tape computes and records for gradients,
// trace records names and shapes, count adds operations and bytes. A Ctx lives for one step and is never stored.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/cpu.h"
#include "base/thread_pool.h"
#include "tensor/batch.h"
#include "tensor/kv.h"
#include "tensor/overlay.h"
#include "tensor/tensor.h"

namespace landfall {

struct Operator;
struct Ctx;

// An operator's own plain struct of settings, carried by value.
class Attrs {
 public:
  Attrs() = default;
  template <class T>
  static Attrs of(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(bytes_));
    Attrs out;
    std::memcpy(out.bytes_, &value, sizeof(T));
    return out;
  }
  template <class T>
  T as() const {
    T out;
    std::memcpy(&out, bytes_, sizeof(T));
    return out;
  }

 private:
  alignas(8) std::byte bytes_[96] = {};
};

struct OpCall {
  const Operator* op;
  std::span<const Tensor> in;
  std::span<const Weight* const> weights;  // null entries: an optional weight that is absent
  Attrs attrs;
  std::span<Tensor> out;
};

class Reader {
 public:
  virtual ~Reader() = default;
  virtual void call(Ctx& ctx, OpCall& call) = 0;
  // Whether outputs stay in use after their layer (tape, trace, count); if not, the driver resets the arena.
  virtual bool keeps_outputs() const { return true; }
};

struct Device {
  KernelSet kernels = KernelSet::scalar;
  bool exact = false;  // keep activations in f32 (no activation quantisation): for goldens and gates
  bool bf16 =
      false;  // though exact, round both factors of products with BF16 weights to bf16, and sum in f32: to train
};

struct Ctx {
  Reader& reader;
  Device device;
  ThreadPool& pool;
  Arena& arena;
  const Batch& batch;
  KvView* kv = nullptr;              // null: no cache, a row sees only earlier rows of its own run
  Tensor tokens;                     // [rows] i32: the batch as graph inputs
  Tensor positions;                  // [rows] i32
  Tensor logits_rows;                // [wanted] i32
  Tensor hidden = {};                // [rows, width], where the batch has them
  const Overlay* overlay = nullptr;  // null: the weights as they are
};

// Node numbers of the batch's arrays, so that a trace can name them.
inline constexpr int32_t kTokensNode = -1, kPositionsNode = -2, kLogitsRowsNode = -3, kHiddenNode = -4;

// Places the batch's arrays in the arena as tensors and binds everything for one step.
Ctx make_ctx(Reader& reader, const Device& device, ThreadPool& pool, Arena& arena, const Batch& batch, KvView* kv);

}  // namespace landfall
