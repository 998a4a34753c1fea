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

// What stands before and behind a text, as the published library has it.
Json post_processor(const TokenizerSpec& spec) {
  Json before{Json::Array{}}, behind{Json::Array{}}, tokens{Json::Object{}};
  const auto add = [&](Json& side, bool wanted, int32_t id) {
    if (!wanted || id < 0) return;
    const std::string& text = spec.tokens[static_cast<size_t>(id)];
    side.push(Json().set("SpecialToken", Json().set("id", text).set("type_id", 0)));
    const Json::Array ids = {Json(id)}, texts = {Json(text)};
    tokens.set(text, Json().set("id", text).set("ids", ids).set("tokens", texts));
  };
  add(before, spec.add_bos, spec.bos);
  add(behind, spec.add_eos, spec.eos);
  if (tokens.object().empty()) return byte_level(false);
  const auto around = [&](const char* sequence, int type, const Json& so_far) {
    Json::Array out = so_far.array();
    for (const Json& token : before.array()) out.push_back(token);
    out.push_back(Json().set("Sequence", Json().set("id", sequence).set("type_id", type)));
    for (const Json& token : behind.array()) out.push_back(token);
    return Json(std::move(out));
  };
  const Json single = around("A", 0, Json(Json::Array{}));
  Json out;
  out.set("type", "TemplateProcessing").set("single", single).set("pair", around("B", 1, single));
  return out.set("special_tokens", std::move(tokens));
}

bool is_added(int32_t type) { return type == kTokenControl || type == kTokenUserDefined; }

}  // namespace

Json tokenizer_json(const TokenizerSpec& spec) {
  const std::optional<TextRules> rules = named_text_rules(spec.pre);
  LANDFALL_CHECK(rules && spec.types.size() == spec.tokens.size(), spec.pre);
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
  out.set("normalizer", rules->nfc ? Json().set("type", "NFC") : Json())
      .set("pre_tokenizer", pre_tokenizer(*rules))
      .set("post_processor", post_processor(spec));
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
  if (!spec.chat_template.empty()) out.set("chat_template", spec.chat_template);
  out.set("clean_up_tokenization_spaces", false);
  return out.set("tokenizer_class", "PreTrainedTokenizerFast");  // which does what tokenizer.json says
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
  token("eot_token_id", spec.eot);
  token("padding_token_id", spec.pad);
  metadata.set("tokenizer.ggml.add_bos_token", spec.add_bos).set("tokenizer.ggml.add_eos_token", spec.add_eos);
  if (!spec.chat_template.empty()) metadata.set("tokenizer.chat_template", spec.chat_template);
}

}  // namespace landfall
