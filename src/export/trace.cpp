#include "export/trace.h"

#include <charconv>

namespace landfall {
namespace {

// The shortest text that reads back as the number; settings are floats mostly, and 0.1f should read 0.1.
std::string number_text(double v) {
  char buffer[32];
  const bool is_float = static_cast<double>(static_cast<float>(v)) == v;
  const auto end = is_float ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<float>(v))
                            : std::to_chars(buffer, buffer + sizeof buffer, v);
  return {buffer, end.ptr};
}

std::string value_text(int32_t node) {
  switch (node) {
    case 0:
      return "constant";
    case kTokensNode:
      return "tokens";
    case kPositionsNode:
      return "positions";
    case kLogitsRowsNode:
      return "logits_rows";
    case kHiddenNode:
      return "hidden";
    default:
      return "%" + std::to_string(node);
  }
}

std::string type_text(const Tensor& t) { return t.shape_text() + (t.type == DType::i32 ? " i32" : ""); }

template <class List, class Text>
std::string joined(const List& list, Text&& text) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : ", ") + text(item);
  return out;
}

std::string step_text(const Trace::Step& step) {
  std::string out = joined(step.out, [](const Tensor& t) { return value_text(t.node); }) + " = ";
  if (!step.op) return out + "input " + step.name + " " + type_text(step.out[0]);
  out += std::string(step.op->name) + "(" + joined(step.in, value_text);
  size_t weights = step.weights.size();
  while (weights > 0 && !step.weights[weights - 1]) --weights;  // absent ones at the end are not told
  for (size_t i = 0; i < weights; ++i) {
    if (i > 0 || !step.in.empty()) out += ", ";
    out += step.weights[i] ? step.weights[i]->name : "none";
  }
  out += ")";
  if (step.op->settings) {
    out += " {" +
           joined(step.op->settings(step.attrs), [](const auto& s) { return s.first + "=" + number_text(s.second); }) +
           "}";
  }
  return out + " " + joined(step.out, type_text);
}

}  // namespace

void Trace::call(Ctx& ctx, OpCall& call) {
  if (call.op->expand && fusions_ == Fusions::expand) return call.op->expand(ctx, call);
  for (Tensor& out : call.out) out.node = ++values_;
  Step step{
      call.op, {}, {}, {call.weights.begin(), call.weights.end()}, call.attrs, {call.out.begin(), call.out.end()}};
  for (const Tensor& t : call.in) step.in.push_back(t.node);
  steps_.push_back(std::move(step));
}

void Trace::input(Tensor& tensor, std::string name) {
  tensor.node = ++values_;
  steps_.push_back({nullptr, std::move(name), {}, {}, {}, {tensor}});
}

std::string Trace::text() const {
  std::string out;
  for (const Step& step : steps_) out += step_text(step) + "\n";
  return out;
}

}  // namespace landfall
