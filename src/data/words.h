// The words of a text, for comparing texts with each other: a word is letters and digits without case (of ASCII), or
// one character of a script that is written without spaces; everything else separates. Pure; safe from any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace landfall {

// A hash of each word, in order; equal words have equal ones. Bytes that are not UTF-8 separate nothing and count as
// U+FFFD.
std::vector<uint64_t> word_hashes(std::string_view text);

}  // namespace landfall
