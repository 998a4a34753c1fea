// The types of GGUF files by the names that people know from file names. A type is a mix where the usual file of that
// name is one: the output matrix finer, Q4_K_M half of the value and down matrices too, MXFP4 for experts only; routers
// are F32 always, and rows that a block does not fit get a format of smaller blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tensor/format.h"

namespace landfall {

struct GgufType {
  std::string_view name;
  int number;             // general.file_type
  std::string_view most;  // the format of most matrices
  std::string_view half;  // of half of the value and down matrices; "": as most
};

// "F32, F16, ..."
std::string gguf_type_names();

// An unknown name is an error that lists the known.
Result<GgufType> find_gguf_type(std::string_view name);

// The format of the matrix `tensor` of `layers` layers; layer -1 is outside of them.
const Format* gguf_format(const GgufType& type, std::string_view tensor, int64_t columns, int64_t layer,
                          int64_t layers);

}  // namespace landfall
