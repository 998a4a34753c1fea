#include "tensor/format.h"

#include <algorithm>

namespace landfall {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

const Format* format_by_name(std::string_view name) {
  for (const Format* format : formats_table()) {
    if (std::equal(name.begin(), name.end(), format->name.begin(), format->name.end(),
                   [](char a, char b) { return lower(a) == lower(b); })) {
      return format;
    }
  }
  return nullptr;
}

const Format* format_by_gguf_type(int64_t type) {
  if (type < 0) return nullptr;  // -1 marks formats that GGUF does not have
  for (const Format* format : formats_table()) {
    if (format->gguf_type == type) return format;
  }
  return nullptr;
}

const FormatKernels& kernels_for(const Format& format, KernelSet set) { return row_for(format.kernels, set); }

}  // namespace landfall
