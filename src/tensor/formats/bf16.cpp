// BF16: the upper half of a single-precision number.
#include "tensor/formats/float_panel.h"
#define LANDFALL_TARGET_FILE "tensor/formats/float_panel.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
namespace {

struct Bf16Format {
  static constexpr std::string_view kName = "BF16";
  static constexpr int kGgufType = 30, kBlock = 1, kBlockBytes = 2;
  static constexpr bool kScaled = false;
  static constexpr Number kNumber = Number::bf16;
  using Stored = uint16_t;
  static float to_float(Stored v) { return bf16_to_float(v); }
  static void encode(const float* in, int64_t n, std::byte* blocks) {
    for (int64_t i = 0; i < n; ++i) {
      const Stored v = float_to_bf16(in[i]);
      std::memcpy(blocks + i * kBlockBytes, &v, sizeof v);
    }
  }
};

#define LANDFALL_BF16_ROW(set)                                                          \
  {KernelSet::set,      set::float_panel<Bf16Format>,      set::bf16_panel<Bf16Format>, \
   set::kRoundedFloats, set::float_scale_rows<Bf16Format>, set::float_columns<Bf16Format>},
constexpr FormatKernels kKernels[] = {LANDFALL_EACH_SET(LANDFALL_BF16_ROW)};
#undef LANDFALL_BF16_ROW

}  // namespace

extern const Format k_bf16;
const Format k_bf16 = make_float_format<Bf16Format>(kKernels);

}  // namespace landfall
