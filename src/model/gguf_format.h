// What readers and writers of GGUF share. Source: the GGUF specification, version 3.
#pragma once

#include <cstdint>

namespace landfall::gguf {

// Types of metadata values, by their numbers in files.
enum ValueType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

}  // namespace landfall::gguf
