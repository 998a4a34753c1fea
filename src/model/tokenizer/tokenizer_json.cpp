#include <algorithm>

#include "model/tokenizer/tokenizer_spec.h"
#include "model/tokenizer/utf8.h"

namespace landfall {
namespace {

Status not_run(std::string_view what) {
  return Status(Code::unsupported, "tokenizer.json: " + std::string(what) + "; Landfall does not run this step");
}

Status damaged(std::string_view what) { return Status(Code::data_loss, "tokenizer.json: " + std::string(what)); }

std::string quoted(const Json& value) {
  return std::string("\"").append(to_valid_utf8(value.string().substr(0, 64))).append("\"");
}

// The steps of a pipeline stage: none, one, or those of a Sequence.
std::vector<const Json*> steps(const Json& stage, std::string_view list) {
  if (stage.is_null()) return {};
  if (stage["type"].string() != "Sequence") return {&stage};
  std::vector<const Json*> out;
  for (const Json& step : stage[list].array()) out.push_back(&step);
  return out;
}

Status read_normalizer(const Json& normalizer, TextRules& rules) {
  for (const Json* step : steps(normalizer, "normalizers")) {
    if ((*step)["type"].string() != "NFC") return not_run("normalizer " + quoted((*step)["type"]));
    rules.nfc = true;
  }
  return {};
}

// A literal text as an expression.
std::string escaped(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    if (std::string_view("\\^$.|?*+()[]{}-").find(c) != std::string_view::npos) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

Status read_pre_tokenizer(const Json& pre_tokenizer, TextRules& rules) {
  bool byte_level = false;
  for (const Json* item : steps(pre_tokenizer, "pretokenizers")) {
    const Json& step = *item;
    const std::string& type = step["type"].string();
    if (byte_level) return not_run("a pre-tokenizer after \"ByteLevel\"");
    if (type == "Split") {
      if (step["behavior"].string() != "Isolated")
        return not_run("\"Split\" with behavior " + quoted(step["behavior"]));
      if (step["invert"].boolean()) return not_run("\"Split\" with \"invert\"");
      const Json& pattern = step["pattern"];
      if (pattern["Regex"].is_string()) {
        rules.patterns.push_back(pattern["Regex"].string());
      } else if (pattern["String"].is_string() && !pattern["String"].string().empty()) {
        rules.patterns.push_back(escaped(pattern["String"].string()));
      } else {
        return damaged("a \"Split\" step has no pattern");
      }
    } else if (type == "Digits") {
      rules.patterns.push_back(std::string(kDigitPattern) + (step["individual_digits"].boolean() ? "" : "+"));
    } else if (type == "ByteLevel") {
      byte_level = true;
      if (step["add_prefix_space"].boolean(true)) return not_run("\"ByteLevel\" with \"add_prefix_space\"");
      if (step["use_regex"].boolean(true)) rules.patterns.emplace_back(kGpt2Pattern);
    } else {
      return not_run("pre-tokenizer " + quoted(step["type"]));
    }
  }
  return byte_level ? Status() : not_run("a pre-tokenizer without \"ByteLevel\"");
}

Status read_merges(const Json& merges, std::vector<std::string>& out) {
  out.reserve(merges.array().size());
  for (const Json& merge : merges.array()) {
    if (merge.is_string()) {
      out.push_back(merge.string());
      continue;
    }
    const Json::Array& pair = merge.array();
    const auto fits = [](const Json& part) {
      return part.is_string() && part.string().find(' ') == std::string::npos && !part.string().empty();
    };
    if (pair.size() != 2 || !fits(pair[0]) || !fits(pair[1])) {
      return damaged("merge " + std::to_string(out.size()) + " is not a pair of tokens");
    }
    out.push_back(pair[0].string() + " " + pair[1].string());
  }
  return {};
}

Status read_model(const Json& model, TextRules& rules, TokenizerSpec& spec) {
  // Old files leave the type out where the rest says it.
  if (model["type"].is_string() && model["type"].string() != "BPE") return not_run("model " + quoted(model["type"]));
  if (!model["vocab"].is_object() || !model["merges"].is_array())
    return damaged("the model has no vocabulary or merges");
  for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model[key].string().empty()) return not_run("a model with \"" + std::string(key) + "\"");
  }
  if (model["dropout"].number() != 0) return not_run("a model with \"dropout\"");
  if (model["byte_fallback"].boolean()) return not_run("a model with \"byte_fallback\"");
  rules.ignore_merges = model["ignore_merges"].boolean();
  return read_merges(model["merges"], spec.merges);
}

Status place(TokenizerSpec& spec, const std::string& text, const Json& id, size_t most, int32_t type) {
  const int64_t at = id.integer(-1);
  if (at < 0 || static_cast<size_t>(at) >= most) {
    return damaged("token \"" + to_valid_utf8(text.substr(0, 64)) + "\" has id " + id.dump().substr(0, 32) +
                   "; ids here go from 0 to " + std::to_string(most - 1));
  }
  const auto index = static_cast<size_t>(at);
  if (index >= spec.tokens.size()) {
    spec.tokens.resize(index + 1);
    spec.types.resize(index + 1, kTokenUnused);
  }
  spec.tokens[index] = text;
  spec.types[index] = type;
  return {};
}

Status read_tokens(const Json& json, TokenizerSpec& spec) {
  const Json::Object& vocab = json["model"]["vocab"].object();
  const Json::Array& added = json["added_tokens"].array();
  // Published files leave few ids out, so a larger one is damage, and would cost memory for nothing.
  const size_t most = 2 * (vocab.size() + added.size()) + 65536;
  for (const auto& [text, id] : vocab) LANDFALL_TRY(place(spec, text, id, most, kTokenNormal));
  for (const Json& token : added) {
    if (!token["content"].is_string()) return damaged("an added token has no content");
    for (const std::string_view flag : {"single_word", "lstrip", "rstrip"}) {
      if (token[flag].boolean())
        return not_run("added token " + quoted(token["content"]) + " with \"" + std::string(flag) + "\"");
    }
    const int32_t type = token["special"].boolean() ? kTokenControl : kTokenUserDefined;
    LANDFALL_TRY(place(spec, token["content"].string(), token["id"], most, type));
  }
  return {};
}

// "<s>" or {"content": "<s>", ...}
const std::string& token_content(const Json& token) {
  return token.is_object() ? token["content"].string() : token.string();
}

// The special token that the published pipeline puts before (or behind) a text, or nothing.
std::string template_token(const Json& post_processor, bool before) {
  for (const Json* processor : steps(post_processor, "processors")) {
    if ((*processor)["type"].string() != "TemplateProcessing") continue;
    const Json::Array& single = (*processor)["single"].array();
    if (single.empty()) continue;
    const Json& end = before ? single.front() : single.back();
    if (end["SpecialToken"].is_object()) return end["SpecialToken"]["id"].string();
  }
  return {};
}

const Json& default_template(const Json& value) {
  for (const Json& named : value.array()) {
    if (named["name"].string() == "default") return named["template"];
  }
  return value;
}

}  // namespace

Result<TokenizerSpec> parse_tokenizer_json(const Json& json, const Json& config) {
  if (!json["model"].is_object()) return damaged("there is no \"model\"");
  TokenizerSpec spec;
  spec.pre = "tokenizer.json";
  TextRules rules;
  LANDFALL_TRY(read_model(json["model"], rules, spec));
  LANDFALL_TRY(read_normalizer(json["normalizer"], rules));
  LANDFALL_TRY(read_pre_tokenizer(json["pre_tokenizer"], rules));
  if (json["decoder"].is_object() && json["decoder"]["type"].string() != "ByteLevel") {
    return not_run("decoder " + quoted(json["decoder"]["type"]));
  }
  LANDFALL_TRY(read_tokens(json, spec));
  spec.rules = std::move(rules);

  const auto id_of = [&](const std::string& text) {
    const auto found = text.empty() ? spec.tokens.end() : std::find(spec.tokens.begin(), spec.tokens.end(), text);
    return found == spec.tokens.end() ? -1 : static_cast<int32_t>(found - spec.tokens.begin());
  };
  const std::string first = template_token(json["post_processor"], true);
  const std::string last = template_token(json["post_processor"], false);
  const std::string& bos = token_content(config["bos_token"]);
  spec.bos = id_of(bos.empty() ? first : bos);
  spec.eos = id_of(token_content(config["eos_token"]));
  spec.pad = id_of(token_content(config["pad_token"]));
  spec.add_bos = config["add_bos_token"].boolean(!first.empty());
  spec.add_eos = config["add_eos_token"].boolean(!last.empty());
  spec.chat_template = default_template(config["chat_template"]).string();
  return spec;
}

}  // namespace landfall
