// What an operator is: its meaning, its kernels, its gradient and its cost. One file in tensor/ops/ defines one
// operator as the symbol k_<file name>; the table of all is made from the folder.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "tensor/ctx.h"

namespace landfall {

struct Cost {
  double operations = 0;    // floating-point or integer multiply-adds count two
  double weight_bytes = 0;  // weights read, each used one once
  double cache_bytes = 0;   // cache rows read
  double scratch_bytes =
      0;  // needed while it runs, where the sizes of outputs do not bound it; of several calls the most
};

struct Kernel {
  KernelSet set;  // the least set it needs
  void (*run)(Ctx&, OpCall&);
};

// Gradients of one recorded call. Entries of grad_in with a null buffer and null entries of grad_weights are not
// wanted. All are added to, never overwritten.
struct GradCall {
  const OpCall& call;
  std::span<const Tensor> grad_out;
  std::span<const Tensor> grad_in;
  std::span<Tensor* const> grad_weights;  // [experts, out, in] each
};

inline constexpr size_t kMaxWeights = 8;  // of one call

// backward in f32: tensors of the call and gradients are f32.
struct GradKernel {
  KernelSet set;  // the least set it needs
  void (*run)(Ctx&, const GradCall&);
};

class OpInputs;

// One way to call the operator, for the generic test and benchmark, which list it unasked.
struct OpCase {
  std::string name;
  std::vector<Run> runs;  // of the batch; past must be 0
  std::function<std::vector<Tensor>(Ctx&, OpInputs&)> run;
  // RMS error over RMS value that the kernels may show against the reference.
  double exact_tolerance = 2e-6;  // activations kept in f32
  double tolerance = 2e-6;        // activations quantised where the kernels do so
  bool differentiable = true;
};

struct Operator {
  std::string_view name;
  bool view = false;  // the output is a view of in[0]; infer sets its memory, there is nothing to run
  void (*infer)(const Ctx&, OpCall&) = nullptr;       // shapes and types of out; CHECKs
  void (*reference)(Ctx&, OpCall&) = nullptr;         // in double: the meaning of a primitive
  void (*expand)(Ctx&, OpCall&) = nullptr;            // the meaning of a fusion; exactly one of the two is set
  void (*backward)(Ctx&, const GradCall&) = nullptr;  // in double; null: through expand, or not differentiable
  std::span<const GradKernel> backward_kernels;       // most demanding first; with backward, for all other sets
  Cost (*cost)(const Ctx&, const OpCall&) = nullptr;  // null: nothing worth counting
  std::vector<std::pair<std::string, double>> (*settings)(const Attrs&) = nullptr;  // named, for traces
  std::span<const Kernel> kernels;                                                  // most demanding first
  std::vector<OpCase> (*cases)() = nullptr;
};

// Every operator, from the files of tensor/ops/.
std::span<const Operator* const> ops_table();

// Infers the outputs and hands the call to the reader.
void dispatch(Ctx& ctx, OpCall& call);

// Adds the gradients of one call: in double for the reference set, else by the most demanding kernel.
void run_backward(Ctx& ctx, const GradCall& grad);

// The run reading: the most demanding kernel that the device's set covers, the reference for the reference set, or
// the expansion where there is neither.
class RunReader : public Reader {
 public:
  void call(Ctx& ctx, OpCall& call) override;
  bool keeps_outputs() const override { return false; }
};

// The count reading: shapes, operations and bytes; nothing is computed.
class CountReader : public Reader {
 public:
  struct Row {
    const Operator* op;
    int64_t calls = 0;
    Cost cost;
  };
  void call(Ctx& ctx, OpCall& call) override;
  const std::vector<Row>& rows() const { return rows_; }
  Cost total() const;
  size_t activation_bytes() const { return activation_bytes_; }  // of all outputs together

 private:
  std::vector<Row> rows_;
  size_t activation_bytes_ = 0;
};

}  // namespace landfall
