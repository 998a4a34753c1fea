// Characters whose properties depend on the version of Unicode that a regular-expression library was built with. Token
// ids must not depend on the machine, so before matching each of them is replaced by a character of the same class and
// length that every version agrees on. The classes are those of the reference tokenizers' expressions (Unicode 16);
// their "Digits" step knows a few digits more, and these have a stand-in of their own (kDigitPattern). Pure function;
// safe from any thread.
#pragma once

#include <string>
#include <string_view>

namespace landfall {

// `text`, which must be valid UTF-8, or, when it holds such characters, a copy in `storage` of the same length with
// stand-ins for them.
std::string_view with_stand_ins(std::string_view text, std::string& storage);

}  // namespace landfall
