#include "model/gguf_types.h"

#include <utility>

namespace landfall {
namespace {

constexpr GgufType kTypes[] = {
    {"F32", 0, "F32", ""},        {"F16", 1, "F16", ""},        {"BF16", 32, "BF16", ""},
    {"Q8_0", 7, "Q8_0", ""},      {"Q4_0", 2, "Q4_0", ""},      {"Q4_1", 3, "Q4_1", ""},
    {"Q5_0", 8, "Q5_0", ""},      {"Q5_1", 9, "Q5_1", ""},      {"Q2_K_S", 21, "Q2_K", ""},
    {"Q3_K_S", 11, "Q3_K", ""},   {"Q4_K_S", 14, "Q4_K", ""},   {"Q4_K_M", 15, "Q4_K", "Q6_K"},
    {"Q5_K_S", 16, "Q5_K", ""},   {"Q6_K", 18, "Q6_K", ""},     {"Q5_K_M", 17, "Q5_K", "Q6_K"},
    {"IQ4_NL", 25, "IQ4_NL", ""}, {"IQ4_XS", 30, "IQ4_XS", ""}, {"MXFP4", 38, "MXFP4", ""},
};

// What stands in for a format whose blocks of 256 do not fit the row.
constexpr std::pair<std::string_view, std::string_view> kSmallBlocks[] = {
    {"Q2_K", "IQ4_NL"}, {"Q3_K", "IQ4_NL"}, {"IQ4_XS", "IQ4_NL"}, {"Q4_K", "Q5_0"}, {"Q5_K", "Q5_1"}, {"Q6_K", "Q8_0"}};

const Format* fitting(std::string_view name, int64_t columns) {
  const Format* format = format_by_name(name);
  if (columns % format->block == 0) return format;
  for (const auto& [large, small] : kSmallBlocks) {
    if (large == name && columns % format_by_name(small)->block == 0) return format_by_name(small);
  }
  return format_by_name("F16");
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

std::string gguf_type_names() {
  std::string out;
  for (const GgufType& type : kTypes) out += (out.empty() ? "" : ", ") + std::string(type.name);
  return out;
}

Result<GgufType> find_gguf_type(std::string_view name) {
  for (const GgufType& type : kTypes) {
    if (type.name == name) return type;
  }
  return Status(Code::invalid_argument,
                "there is no type '" + std::string(name.substr(0, 80)) + "'; known are: " + gguf_type_names());
}

const Format* gguf_format(const GgufType& type, std::string_view name, int64_t columns, int64_t layer, int64_t layers) {
  if (name.ends_with("ffn_gate_inp.weight")) return format_by_name("F32");
  const Format* most = format_by_name(type.most);
  if (type.name == "MXFP4" && !contains(name, "_exps")) return fitting("Q8_0", columns);
  if (name == "output.weight" && most->bits_per_weight() < 8) return fitting("Q6_K", columns);
  const bool wanted = name.ends_with("attn_v.weight") || contains(name, "ffn_down");
  const int64_t eighth = layers / 8;
  if (!type.half.empty() && wanted && (layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2))
    return fitting(type.half, columns);
  return fitting(type.most, columns);
}

}  // namespace landfall
