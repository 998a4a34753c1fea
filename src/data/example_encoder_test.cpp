#include "data/example_encoder.h"

#include <gtest/gtest.h>

#include "data/testing.h"

namespace landfall {
namespace {

const std::string kBos(kDeepseekBos), kEos(kDeepseekEos), kU(kDeepseekUser), kA(kDeepseekAssistant);
// Text of DeepSeek's forms, as far as recognition goes.
const std::string kV3Like = "{{'" + kU + "' + message['content']}}{{'" + kA + "'}}";
const std::string kR1Like = kV3Like + "{% set content = content.split('</think>')[-1] %}";
const std::string kV31Like = kV3Like + "{% if not thinking %}{{'</think>'}}{% endif %}";
const std::string kPlainLike = "{{ 'User: ' + message['content'] }}{{ 'Assistant: ' }}";

// The template of tests/golden/chat that holds `part`.
std::string golden_template(const std::string& part) {
  const Result<Json> json = parse_json(read_example_file("tests/golden/chat/templates.json"));
  for (const Json& row : (*json)["cases"].array()) {
    if (row["template"].string().find(part) != std::string::npos) return row["template"].string();
  }
  ADD_FAILURE() << "no golden template with " << part;
  return "";
}

Example chat(std::vector<ChatMessage> messages) {
  Example out;
  out.kind = Example::Kind::chat;
  out.messages = std::move(messages);
  return out;
}

const std::vector<ChatMessage> kTwoTurns = {{"system", "Be brief.", ""},
                                            {"user", "How tall is it?", ""},
                                            {"assistant", "4,478 m", ""},
                                            {"user", "Why <|im_end|>?", ""},
                                            {"assistant", "Plates.\n", ""}};

std::vector<MarkedTokens> encode(const ExampleEncoder& encoder, const Example& example, int64_t context = 1000) {
  Result<std::vector<MarkedTokens>> out = encoder.encode(example, context);
  EXPECT_TRUE(out.ok()) << out.status().message();
  return out.ok() ? std::move(*out) : std::vector<MarkedTokens>();
}

std::string text_of(const ExampleEncoder& encoder, const MarkedTokens& document) {
  std::vector<int32_t> ids;
  for (const MarkedToken token : document) ids.push_back(token_of(token));
  return encoder.tokenizer().decode(ids);
}

// What is learned, each run of it in brackets.
std::string learned_of(const ExampleEncoder& encoder, const MarkedTokens& document) {
  std::string out;
  std::vector<int32_t> run;
  for (size_t i = 0; i <= document.size(); ++i) {
    if (i < document.size() && is_learned(document[i])) {
      run.push_back(token_of(document[i]));
    } else if (!run.empty()) {
      out += "[" + encoder.tokenizer().decode(run) + "]";
      run.clear();
    }
  }
  return out;
}

ExampleEncoder deepseek(const std::string& form, const std::string& tokenizer = "deepseek-v3") {
  return make_encoder(golden_tokenizer_spec(tokenizer, form, kEos, /*add_bos=*/true));
}

struct Family {
  std::string tokenizer, form, end;
  bool add_bos;
  ChatFormat::Choice choice;
  std::string learned;
};

// Each answer begins exactly where the runtime's prompt ends, token for token, and only answers are learned.
TEST(ExampleEncoder, answers_follow_the_tokens_of_the_prompt_that_the_runtime_would_read) {
  const auto automatic = ChatFormat::Choice::automatic, file = ChatFormat::Choice::file;
  const Family families[] = {
      {"qwen2", kChatMl, "<|im_end|>", false, automatic, "[4,478 m<|im_end|>][Plates.\n<|im_end|>]"},
      {"smollm", kChatMl, "<|im_end|>", false, automatic, "[4,478 m<|im_end|>][Plates.\n<|im_end|>]"},
      {"deepseek-v3", kV3Like, kEos, true, automatic, "[4,478 m" + kEos + "][Plates.\n" + kEos + "]"},
      {"deepseek-v3", kV31Like, kEos, true, automatic, "[4,478 m" + kEos + "][Plates.\n" + kEos + "]"},
      {"deepseek-llm", kPlainLike, kEos, true, automatic, "[ 4,478 m" + kEos + "][ Plates.\n" + kEos + "]"},
      {"deepseek-llm", golden_template("'Assistant: '"), kEos, true, file,
       "[ 4,478 m" + kEos + "][ Plates.\n" + kEos + "]"},
      // As Llama 3 does: trims contents and states the date.
      {"llama-bpe", golden_template("<|start|>assistant<|end|>"), "<|eot|>", false, file,
       "[4,478 m<|eot|>][Plates.<|eot|>]"},
  };
  for (const Family& family : families) {
    const std::string name = family.tokenizer + ": " + family.form.substr(0, 60);
    const ExampleEncoder encoder =
        make_encoder(golden_tokenizer_spec(family.tokenizer, family.form, family.end, family.add_bos), family.choice);
    const Tokenizer& tokenizer = encoder.tokenizer();
    const Result<ChatFormat> format = ChatFormat::create(tokenizer, family.choice);
    ASSERT_TRUE(format.ok()) << name << format.status().message();
    const std::vector<MarkedTokens> documents = encode(encoder, chat(kTwoTurns));
    ASSERT_EQ(documents.size(), 1u) << name;
    EXPECT_EQ(learned_of(encoder, documents[0]), family.learned) << name;
    ChatOptions options;
    options.unix_time = 1735689600;
    for (const size_t answer : {size_t{2}, size_t{4}}) {
      const auto prompt = format->render(std::span(kTwoTurns).first(answer), options);
      ASSERT_TRUE(prompt.ok());
      const std::vector<int32_t> ids = tokenizer.with_bos(tokenizer.encode_segments(prompt->segments));
      ASSERT_LT(ids.size(), documents[0].size()) << name;
      for (size_t i = 0; i < ids.size(); ++i) ASSERT_EQ(token_of(documents[0][i]), ids[i]) << name << " token " << i;
      EXPECT_FALSE(is_learned(documents[0][ids.size() - 1])) << name;
      EXPECT_TRUE(is_learned(documents[0][ids.size()])) << name;
    }
    options.add_generation_prompt = false;
    std::string whole = format->render(kTwoTurns, options)->text();
    if (family.add_bos && !whole.starts_with(kBos)) whole = kBos + whole;
    const std::string text = text_of(encoder, documents[0]);
    EXPECT_TRUE(whole.starts_with(text) && text.ends_with(family.end)) << name << ": " << text;
    EXPECT_LE(whole.size() - text.size(), 1u) << "ChatML's last line end";
  }
}

TEST(ExampleEncoder, forms_that_cut_thinking_give_a_document_for_each_answer) {
  const Example example =
      chat({{"user", "a", ""}, {"assistant", "x", "hm"}, {"user", "b", ""}, {"assistant", "y", ""}});
  const ExampleEncoder r1 = deepseek(kR1Like);
  std::vector<MarkedTokens> documents = encode(r1, example);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(text_of(r1, documents[0]), kBos + kU + "a" + kA + "<think>\nhm\n</think>\n\nx" + kEos);
  EXPECT_EQ(learned_of(r1, documents[0]), "[hm\n</think>\n\nx" + kEos + "]");
  EXPECT_EQ(text_of(r1, documents[1]),
            kBos + kU + "a" + kA + "x" + kEos + kU + "b" + kA + "<think>\n\n</think>\n\ny" + kEos);
  EXPECT_EQ(learned_of(r1, documents[1]), "[\n</think>\n\ny" + kEos + "]");
  // The tag is the token, not its letters.
  const auto tag = static_cast<MarkedToken>(*r1.tokenizer().token_id("</think>")) | kLearned;
  EXPECT_EQ(std::count(documents[0].begin(), documents[0].end(), tag), 1);

  const ExampleEncoder v31 = deepseek(kV31Like);
  documents = encode(v31, example);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(text_of(v31, documents[0]), kBos + kU + "a" + kA + "<think>hm</think>x" + kEos);
  EXPECT_EQ(learned_of(v31, documents[0]), "[hm</think>x" + kEos + "]");
  EXPECT_EQ(learned_of(v31, documents[1]), "[y" + kEos + "]");

  // As Qwen3 does: thinking stands in the last answer alone.
  const ExampleEncoder cutting =
      make_encoder(golden_tokenizer_spec("qwen2", golden_template("ns.last = index"), "<|im_end|>", false));
  documents = encode(cutting, example);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(learned_of(cutting, documents[0]), "[<think>\nhm\n</think>\n\nx<|im_end|>]");
  EXPECT_EQ(learned_of(cutting, documents[1]), "[<think>\n\n</think>\n\ny<|im_end|>]");

  // A form that knows no thinking learns to write it all the same.
  const ExampleEncoder v3 = deepseek(kV3Like);
  documents = encode(v3, chat({{"user", "a", ""}, {"assistant", "x", "hm"}}));
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(learned_of(v3, documents[0]), "[<think>\nhm\n</think>\n\nx" + kEos + "]");
}

TEST(ExampleEncoder, what_people_write_never_becomes_markup) {
  for (const ExampleEncoder& encoder : {chatml_encoder(), deepseek(kV3Like), deepseek(kR1Like)}) {
    const auto markup = [&](const std::string& content) {
      std::vector<int32_t> out;
      for (const MarkedTokens& document : encode(encoder, chat({{"user", content, ""}, {"assistant", content, ""}}))) {
        for (const MarkedToken token : document) {
          if (encoder.tokenizer().is_markup(token_of(token))) out.push_back(token_of(token));
        }
      }
      return out;
    };
    EXPECT_EQ(markup("<|im_end|>" + kEos + kU), markup("hello"));
  }
}

TEST(ExampleEncoder, text_is_learned_whole_and_long_text_in_pieces) {
  const ExampleEncoder encoder = deepseek(kV3Like);
  Example example;
  example.text = "It was the best of times, it was the worst of times.";
  const std::vector<MarkedTokens> whole = encode(encoder, example);
  ASSERT_EQ(whole.size(), 1u);
  EXPECT_EQ(token_of(whole[0].front()), encoder.tokenizer().bos());
  EXPECT_EQ(text_of(encoder, whole[0]), kBos + example.text + kEos);
  for (const int64_t context : {2, 3, 7, static_cast<int>(whole[0].size()) - 1, static_cast<int>(whole[0].size())}) {
    MarkedTokens joined;
    for (const MarkedTokens& piece : encode(encoder, example, context)) {
      ASSERT_LE(static_cast<int64_t>(piece.size()), context);
      ASSERT_GE(piece.size(), 2u);
      if (!joined.empty()) {
        EXPECT_EQ(piece.front(), joined.back()) << "each token is learned in exactly one piece";
        joined.pop_back();
      }
      joined.insert(joined.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(joined, whole[0]) << context;
  }
}

TEST(ExampleEncoder, text_ends_with_the_token_that_ends_text_not_answers) {
  Example example;
  example.text = "word";
  const ExampleEncoder qwen = chatml_encoder();
  EXPECT_EQ(text_of(qwen, encode(qwen, example)[0]), "word<|endoftext|>");
}

TEST(ExampleEncoder, a_preference_is_two_documents_that_share_their_prompt) {
  Example example;
  example.kind = Example::Kind::preference;
  example.messages = {{"user", "q", ""}, {"assistant", "earlier", ""}, {"user", "and?", ""}};
  example.chosen = {"assistant", "good", ""};
  example.rejected = {"assistant", "bad", ""};
  const ExampleEncoder encoder = chatml_encoder();
  const std::vector<MarkedTokens> documents = encode(encoder, example);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(learned_of(encoder, documents[0]), "[good<|im_end|>]");
  EXPECT_EQ(learned_of(encoder, documents[1]), "[bad<|im_end|>]");
}

TEST(ExampleEncoder, what_cannot_be_encoded_is_refused_with_the_cause) {
  const ExampleEncoder encoder = chatml_encoder();
  const size_t length = encode(encoder, chat(kTwoTurns))[0].size();
  EXPECT_TRUE(encoder.encode(chat(kTwoTurns), static_cast<int64_t>(length)).ok());
  for (const size_t context : {size_t{2}, size_t{20}, length - 1}) {
    const Status status = encoder.encode(chat(kTwoTurns), static_cast<int64_t>(context)).status();
    // With the line end behind the last answer where reading stopped before that.
    const size_t stated = context < length - 1 ? length + 1 : length;
    EXPECT_EQ(status.message(), "the conversation has " + std::to_string(stated) + " tokens, and the context holds " +
                                    std::to_string(context));
  }
  const ExampleEncoder none =
      make_encoder(golden_tokenizer_spec("gpt-2", "", "<|endoftext|>", false), ChatFormat::Choice::file);
  EXPECT_EQ(none.encode(chat(kTwoTurns), 1000).status().code(), Code::failed_precondition);
  Example text;
  text.text = "base models read text";
  EXPECT_TRUE(none.encode(text, 1000).ok());
  const ExampleEncoder silent =
      make_encoder(golden_tokenizer_spec("qwen2", "{{ messages[0].content }}", "<|im_end|>", false));
  EXPECT_NE(
      silent.encode(chat({{"user", "a", ""}, {"assistant", "b", ""}}), 100).status().message().find("renders none"),
      std::string::npos);
}

TEST(ExampleEncoder, the_identity_follows_whatever_changes_tokens) {
  const TokenizerSpec spec = golden_tokenizer_spec("qwen2", kChatMl, "<|im_end|>", false);
  const std::string identity = make_encoder(spec).identity();
  EXPECT_EQ(make_encoder(spec).identity(), identity);
  EXPECT_NE(make_encoder(spec, ChatFormat::Choice::file).identity(), identity);
  TokenizerSpec other = spec;
  other.chat_template += " ";
  EXPECT_NE(make_encoder(other).identity(), identity);
  other = spec;
  std::swap(other.merges[0], other.merges[1]);
  EXPECT_NE(make_encoder(other).identity(), identity);
  other = spec;
  other.add_bos = true;
  EXPECT_NE(make_encoder(other).identity(), identity);
}

}  // namespace
}  // namespace landfall
