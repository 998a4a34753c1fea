#include "data/train_tokenizer.h"

#include "data/examples.h"
#include "model/chat/native_chat.h"
#include "model/new_folder.h"
#include "model/tokenizer/bpe_trainer.h"
#include "model/tokenizer/write_tokenizer.h"

namespace landfall {
namespace {

constexpr std::string_view kRules = "deepseek-v3";
constexpr std::string_view kPad =
    "<\xEF\xBD\x9C\xE2\x96\x81pad\xE2\x96\x81\xEF\xBD\x9C>";  // as in DeepSeek-V3's own vocabulary

struct Special {
  std::string_view text;
  int32_t type;
};
// The first ids. Thinking tags are no control tokens: whoever reads an answer splits it by them.
constexpr Special kSpecial[] = {
    {kDeepseekBos, kTokenControl},  {kDeepseekEos, kTokenControl},       {kPad, kTokenControl},
    {kDeepseekUser, kTokenControl}, {kDeepseekAssistant, kTokenControl}, {"<think>", kTokenUserDefined},
    {"</think>", kTokenUserDefined}};
constexpr int64_t kLeast = 256 + static_cast<int64_t>(std::size(kSpecial)), kMost = 1 << 20;

// DeepSeek-V3's form, as render_deepseek_v3 writes it.
std::string chat_template() {
  auto quoted = [](std::string_view token) { return "'" + std::string(token) + "'"; };
  return "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] }}"
         "{% elif message['role'] == 'user' %}{{ " +
         quoted(kDeepseekUser) + " + message['content'] }}{% elif message['role'] == 'assistant' %}{{ " +
         quoted(kDeepseekAssistant) + " + message['content'] + " + quoted(kDeepseekEos) +
         " }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ " + quoted(kDeepseekAssistant) + " }}{% endif %}";
}

void add(const Example& example, BpeTrainer& trainer) {
  if (!example.text.empty()) trainer.add(example.text);
  auto message = [&](const ChatMessage& m) {
    for (const std::string* part : {&m.reasoning, &m.content}) {
      if (!part->empty()) trainer.add(*part);
    }
  };
  for (const ChatMessage& m : example.messages) message(m);
  message(example.chosen);
  message(example.rejected);
}

}  // namespace

Result<TokenizerSpec> train_tokenizer(Env& env, const std::vector<std::string>& files,
                                      const TokenizerTraining& options) {
  if (options.vocabulary < kLeast || options.vocabulary > kMost) {
    return Status(Code::invalid_argument, "a vocabulary of " + std::to_string(options.vocabulary) +
                                              " tokens is not possible; give " + std::to_string(kLeast) + " to " +
                                              std::to_string(kMost));
  }
  const std::optional<TextRules> rules = named_text_rules(kRules);
  LANDFALL_CHECK(rules.has_value());
  LANDFALL_ASSIGN(PreTokenizer pre_tokenizer, PreTokenizer::create(rules->patterns));
  BpeTrainer trainer(std::move(pre_tokenizer));
  LANDFALL_ASSIGN(ExampleReader reader, ExampleReader::open(env, files));
  Example example;
  for (;;) {
    LANDFALL_ASSIGN(const bool more, reader.next(example));
    if (!more) break;
    add(example, trainer);
    if (!options.reading(reader.bytes_read(), reader.bytes()))
      return Status(Code::cancelled, "stopped while reading '" + files[example.file] + "'");
  }
  const auto specials = static_cast<int64_t>(std::size(kSpecial));
  LANDFALL_ASSIGN(LearnedMerges learned, trainer.train(options.vocabulary - specials, options.merging));
  TokenizerSpec spec;
  spec.pre = kRules;
  for (const Special& special : kSpecial) {
    spec.tokens.emplace_back(special.text);
    spec.types.push_back(special.type);
  }
  spec.tokens.insert(spec.tokens.end(), learned.tokens.begin(), learned.tokens.end());
  spec.types.resize(spec.tokens.size(), kTokenNormal);
  spec.merges = std::move(learned.merges);
  spec.bos = 0;
  spec.eos = 1;
  spec.pad = 2;
  spec.add_bos = true;
  spec.chat_template = chat_template();
  return spec;
}

Status write_tokenizer(Env& env, const std::string& folder, const TokenizerSpec& spec) {
  return write_folder(env, folder, [&](const std::string& path) -> Status {
    LANDFALL_TRY(write_file(env, join_path(path, "tokenizer.json"), tokenizer_json(spec).dump(1) + "\n"));
    return write_file(env, join_path(path, "tokenizer_config.json"), tokenizer_config_json(spec).dump(2) + "\n");
  });
}

Result<TokenizerSpec> read_tokenizer(Env& env, const std::string& folder) {
  LANDFALL_ASSIGN(const std::string tokenizer, env.read(join_path(folder, "tokenizer.json")));
  LANDFALL_ASSIGN(const std::string config, env.read(join_path(folder, "tokenizer_config.json")));
  LANDFALL_ASSIGN(const Json tokenizer_json, parse_json(tokenizer));
  LANDFALL_ASSIGN(const Json config_json, parse_json(config));
  LANDFALL_ASSIGN(TokenizerSpec spec, parse_tokenizer_json(tokenizer_json, config_json));
  const std::optional<TextRules> rules = named_text_rules(kRules);
  if (!spec.rules || spec.rules->patterns != rules->patterns) {
    return Status(Code::data_loss, "'" + folder + "' holds a tokenizer that was not trained here; remove the folder");
  }
  spec.rules.reset();
  spec.pre = kRules;
  return spec;
}

}  // namespace landfall
