#include "tensor/format.h"
#define LANDFALL_TARGET_FILE "tensor/unpacked.inl"
#include "tensor/simd/foreach_target.h"
