// A tokenizer of DeepSeek-V3's kind from files of examples: byte-level merges learned from their texts within that
// family's pre-tokenizer, and the tokens of its conversation form, so that the same form serves what is trained with
// it.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "base/env.h"
#include "base/result.h"
#include "model/tokenizer/tokenizer_spec.h"

namespace landfall {

struct TokenizerTraining {
  int64_t vocabulary = 4096;                                            // tokens in all
  std::function<bool(uint64_t done, uint64_t total)> reading, merging;  // bytes, then tokens; false cancels
};

// `files`: as ExampleReader takes them; of conversations and preferences every message counts. Fewer tokens than wanted
// where the text is too short to need them.
Result<TokenizerSpec> train_tokenizer(Env& env, const std::vector<std::string>& files,
                                      const TokenizerTraining& options);

// A new folder with tokenizer.json and tokenizer_config.json.
Status write_tokenizer(Env& env, const std::string& folder, const TokenizerSpec& spec);
// What write_tokenizer has written.
Result<TokenizerSpec> read_tokenizer(Env& env, const std::string& folder);

}  // namespace landfall
