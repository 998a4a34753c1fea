#include "model/tokenizer/write_tokenizer.h"

namespace landfall {
namespace {

Json byte_level(bool as_decoder) {
  Json out;
  out.set("type", "ByteLevel").set("add_prefix_space", as_decoder).set("trim_offsets", true);
  return out.set("use_regex", as_decoder);
}

Json pre_tokenizer(const TextRules& rules) {
  Json steps{Json::Array{}};
  for (const std::string& pattern : rules.patterns) {
    Json split;
    split.set("type", "Split").set("pattern", Json().set("Regex", pattern));
    steps.push(split.set("behavior", "Isolated").set("invert", false));
  }
  steps.push(byte_level(false));
  return Json().set("type", "Sequence").set("pretokenizers", std::move(steps));
}

bool is_added(int32_t type) { return type == kTokenControl || type == kTokenUserDefined; }

}  // namespace

Json tokenizer_json(const TokenizerSpec& spec) {
  const std::optional<TextRules> rules = named_text_rules(spec.pre);
  LANDFALL_CHECK(rules && !rules->nfc && spec.types.size() == spec.tokens.size(), spec.pre);
  Json added{Json::Array{}};
  Json::Object vocab;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    // All of them: the published library gives added tokens that the model lacks ids of its own choice.
    vocab.emplace_back(spec.tokens[id], Json(id));
    if (!is_added(spec.types[id])) continue;
    Json token;
    token.set("id", id).set("content", spec.tokens[id]);
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"}) token.set(flag, false);
    added.push(token.set("special", spec.types[id] == kTokenControl));
  }
  Json::Array merges;
  for (const std::string& merge : spec.merges) {
    const size_t space = merge.find(' ');
    merges.push_back(Json(Json::Array{merge.substr(0, space), merge.substr(space + 1)}));
  }
  Json model;
  model.set("type", "BPE").set("dropout", nullptr).set("unk_token", nullptr);
  model.set("continuing_subword_prefix", nullptr).set("end_of_word_suffix", nullptr);
  model.set("fuse_unk", false).set("byte_fallback", false).set("ignore_merges", rules->ignore_merges);
  model.set("vocab", std::move(vocab)).set("merges", std::move(merges));
  Json out;
  out.set("version", "1.0").set("truncation", nullptr).set("padding", nullptr).set("added_tokens", std::move(added));
  out.set("normalizer", nullptr).set("pre_tokenizer", pre_tokenizer(*rules)).set("post_processor", byte_level(false));
  return out.set("decoder", byte_level(true)).set("model", std::move(model));
}

Json tokenizer_config_json(const TokenizerSpec& spec) {
  Json out;
  out.set("add_bos_token", spec.add_bos).set("add_eos_token", spec.add_eos);
  const auto token = [&](const char* key, int32_t id) {
    if (id >= 0) out.set(key, spec.tokens[static_cast<size_t>(id)]);
  };
  token("bos_token", spec.bos);
  token("eos_token", spec.eos);
  token("pad_token", spec.pad);
  out.set("chat_template", spec.chat_template).set("clean_up_tokenization_spaces", false);
  return out.set("tokenizer_class", "LlamaTokenizerFast");  // as DeepSeek's own: it heeds add_bos_token
}

void add_tokenizer_metadata(Json& metadata, const TokenizerSpec& spec) {
  Json::Array tokens(spec.tokens.begin(), spec.tokens.end()), merges(spec.merges.begin(), spec.merges.end());
  Json::Array types(spec.types.begin(), spec.types.end());
  metadata.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", spec.pre);
  metadata.set("tokenizer.ggml.tokens", std::move(tokens)).set("tokenizer.ggml.token_type", std::move(types));
  metadata.set("tokenizer.ggml.merges", std::move(merges));
  const auto token = [&](const char* key, int32_t id) {
    if (id >= 0) metadata.set(std::string("tokenizer.ggml.") + key, id);
  };
  token("bos_token_id", spec.bos);
  token("eos_token_id", spec.eos);
  token("padding_token_id", spec.pad);
  metadata.set("tokenizer.ggml.add_bos_token", spec.add_bos).set("tokenizer.ggml.add_eos_token", spec.add_eos);
  if (!spec.chat_template.empty()) metadata.set("tokenizer.chat_template", spec.chat_template);
}

}  // namespace landfall
