// What the tests of the engine's parts share. For tests only.
#pragma once

#include <cstdint>
#include <vector>

namespace landfall {

using Tokens = std::vector<int32_t>;

inline Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace landfall
