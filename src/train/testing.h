// What the tests of gradients share: one run of an operator's case under a reader, and its gradients by the tape. For
// tests only. Not thread-safe.
#pragma once

#include <vector>

#include "tensor/format.h"
#include "tensor/op_inputs.h"
#include "tensor/testing.h"
#include "train/tape.h"

namespace landfall {

inline constexpr Device kInDouble{KernelSet::reference, true};

// The scalar that is differentiated is the sum of these times the outputs.
inline std::vector<double> coefficients(int64_t n) { return fixed_numbers<double>(n, 17); }

// One run of a case under a reader.
struct CaseRun {
  CaseRun(const OpCase& c, Device device, Reader& reader, OpInputs& inputs, int threads = 1)
      : batch(c.runs),
        pool(threads),
        ctx(make_ctx(reader, device, pool, arena, batch.batch(), nullptr)),
        out(c.run(ctx, inputs)) {}
  double scalar() const {
    double total = 0;
    for (const Tensor& t : out) {
      if (t.type == DType::i32) continue;
      const std::vector<double> values = load_doubles(t), c = coefficients(t.elements());
      for (size_t i = 0; i < c.size(); ++i) total += c[i] * values[i];
    }
    return total;
  }
  TestBatch batch;
  ThreadPool pool;
  Arena arena;
  Ctx ctx;
  std::vector<Tensor> out;
};

// Gradients of the case's scalar by the tape, one list for each input that has one (others are empty).
inline std::vector<std::vector<double>> tape_gradients(const OpCase& c, Device device, OpInputs& inputs,
                                                       int threads = 1) {
  Tape tape;
  inputs.restart();
  inputs.on_tensor = [&](Tensor& t) { tape.watch(t); };
  CaseRun run(c, device, tape, inputs, threads);
  inputs.on_tensor = nullptr;
  std::vector<Tape::Seed> seeds;
  for (const Tensor& t : run.out) {
    if (t.type == DType::i32) continue;
    Tensor gradient = Tensor::of(DType::f64, {t.elements()});
    run.arena.place(gradient);
    store_doubles(gradient, coefficients(t.elements()));
    seeds.push_back({t, gradient});
  }
  tape.backward(run.ctx, seeds);
  std::vector<std::vector<double>> out;
  for (const OpInputs::Input& input : inputs.inputs()) {
    Tensor g;
    if (input.is_weight) {
      if (input.weight->format == format_by_name("F32")) g = tape.weight_gradient(input.weight->id);
    } else if (input.tensor.buffer) {
      g = tape.gradient(input.tensor);
    }
    out.push_back(g.buffer ? load_doubles(g) : std::vector<double>{});
  }
  return out;
}

}  // namespace landfall
