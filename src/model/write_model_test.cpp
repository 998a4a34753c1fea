// Models written again: the same numbers give the same file's worth of logits, other numbers arrive where they belong,
// and nothing is left of what could not be finished.
#include "model/write_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>

#include "base/testing.h"
#include "model/packed.h"
#include "model/testing.h"
#include "model/testing_gguf.h"
#include "model/tokenizer/tokenizer.h"
#include "tensor/access.h"

namespace landfall {
namespace {

std::string new_path(const std::string& end) {
  static int count = 0;
  return temporary_path("written_" + std::to_string(count++) + end);
}

const WeightRows as_loaded = own_rows();

// Numbers that no other place of the model has, with little to round.
float number_of(const Weight& w, int64_t expert, int64_t row, int64_t column) {
  const auto mixed = static_cast<uint64_t>(((w.id * 512 + expert) * 8192 + row) * 4096 + column) * 0x9E3779B97F4A7C15u;
  return static_cast<float>(mixed >> 40) * 0x1p-24f - 0.5f;
}
void others(const Weight& w, int64_t expert, int64_t first, int64_t count, float* out) {
  for (int64_t r = 0; r < count; ++r)
    for (int64_t c = 0; c < w.in; ++c) out[r * w.in + c] = number_of(w, expert, first + r, c);
}

Status write(const LoadedModel& from, const std::string& type, const WeightRows& rows, const std::string& path,
             const WriteProgress& progress = nullptr, Env& env = Env::real()) {
  ThreadPool pool(2);
  return write_model(env, pool, from.source, from.model, {from.source.kind, type}, rows, path, progress);
}

// In the layout that the model did not come from.
Status cross(const LoadedModel& from, const std::string& type, const WeightRows& rows, const std::string& path) {
  ThreadPool pool(2);
  const auto layout =
      from.source.kind == ModelSource::Kind::gguf ? ModelSource::Kind::hugging_face : ModelSource::Kind::gguf;
  return write_model(Env::real(), pool, from.source, from.model, {layout, type}, rows, path, nullptr);
}

std::vector<float> numbers(const Weight& w) {
  std::vector<float> out(static_cast<size_t>(w.elements()));
  for (int64_t e = 0; e < w.experts; ++e) unpack_rows(w, e, 0, w.out, out.data() + e * w.out * w.in);
  return out;
}

std::vector<float> logits_of(const LoadedModel& loaded, const Golden& golden) {
  return all_logits(loaded.model, golden.tokens, available_kernel_sets().back());
}

// Every weight of `again` has the numbers of number_of(), rounded where it is a matrix.
void expect_others(const LoadedModel& again, float (*rounded)(float)) {
  for (const Weight& w : again.model.weights()) {
    const std::vector<float> found = numbers(w);
    for (size_t i = 0; i < found.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      const float wanted = number_of(w, at / (w.out * w.in), at / w.in % w.out, at % w.in);
      ASSERT_EQ(found[i], w.out == 1 ? wanted : rounded(wanted)) << w.name << " at " << i;
    }
  }
}

float as_bf16(float v) { return bf16_to_float(float_to_bf16(v)); }
float as_f16(float v) { return half_to_float(float_to_half(v)); }
float as_f32(float v) { return v; }

class WriteModel : public testing::TestWithParam<std::string> {};

TEST_P(WriteModel, OwnNumbersGiveTheSameModel) {
  const Golden golden = read_golden(GetParam());
  const LoadedModel first = load_for_test(write_golden_model(golden, Json()));
  const std::string path = new_path("");
  const Status written = write(first, "F32", as_loaded, path);
  ASSERT_TRUE(written.ok()) << written.message();
  const LoadedModel again = load_for_test(path);
  EXPECT_TRUE(again.source.config["quantization_config"].is_null());
  ASSERT_EQ(again.model.weights().size(), first.model.weights().size());
  for (size_t i = 0; i < again.model.weights().size(); ++i)
    ASSERT_EQ(numbers(again.model.weights()[i]), numbers(first.model.weights()[i])) << first.model.weights()[i].name;
  const bool bytes = std::any_of(first.source.tensors().begin(), first.source.tensors().end(),
                                 [](const FileTensor& t) { return !t.scales.empty(); });
  if (bytes) {  // multiplied by other kernels
    EXPECT_LE(largest_difference(logits_of(again, golden), golden.logits, golden.vocab), golden.tolerance);
    EXPECT_EQ(again.source.find("model.layers.0.self_attn.o_proj.weight_scale_inv"), nullptr);
  } else {
    EXPECT_EQ(logits_of(again, golden), logits_of(first, golden));
    EXPECT_EQ(again.source.tensors().size(), first.source.tensors().size());
  }
  if (!golden.multi_token.empty()) {
    const auto guesses = multi_token_logits(again, golden.tokens, available_kernel_sets().back());
    EXPECT_LE(largest_difference(guesses, golden.multi_token, golden.vocab), golden.tolerance);
  }
}

TEST_P(WriteModel, OtherNumbersArriveWhereTheyBelongAndAreRounded) {
  const LoadedModel first = load_for_test(write_golden_model(read_golden(GetParam()), Json()));
  for (const auto& [type, dtype, rounded] :
       {std::tuple{"F32", "float32", &as_f32}, {"BF16", "bfloat16", &as_bf16}, {"F16", "float16", &as_f16}}) {
    const std::string path = new_path("");
    const Status written = write(first, type, others, path);
    ASSERT_TRUE(written.ok()) << written.message();
    const LoadedModel again = load_for_test(path);
    expect_others(again, rounded);
    EXPECT_EQ(again.source.config["torch_dtype"].string(), dtype);
  }
}

// What GGUF files have no word for.
bool only_in_folders(const std::string& variant) {
  return variant == "deepseek_v3_plain_q";  // mscale beside another mscale_all_dim
}

TEST_P(WriteModel, AsGgufItAnswersAsTheReferenceAndComesBack) {
  const Golden golden = read_golden(GetParam());
  const LoadedModel first = load_for_test(write_golden_model(golden, Json()));
  const std::string path = new_path(".gguf");
  const Status written = cross(first, "F32", as_loaded, path);
  if (only_in_folders(GetParam())) {
    EXPECT_EQ(written.code(), Code::unsupported);
    EXPECT_NE(written.message().find("rotary"), std::string::npos) << written.message();
    return;
  }
  ASSERT_TRUE(written.ok()) << written.message();
  const LoadedModel gguf = load_for_test(path);
  EXPECT_EQ(gguf.source.kind, ModelSource::Kind::gguf);
  EXPECT_LE(largest_difference(logits_of(gguf, golden), golden.logits, golden.vocab), golden.tolerance);

  const std::string folder = new_path("");
  const Status back = cross(gguf, "F32", as_loaded, folder);
  ASSERT_TRUE(back.ok()) << back.message();
  const LoadedModel again = load_for_test(folder);
  ASSERT_EQ(again.model.weights().size(), first.model.weights().size());
  for (size_t i = 0; i < again.model.weights().size(); ++i)
    ASSERT_EQ(numbers(again.model.weights()[i]), numbers(first.model.weights()[i])) << first.model.weights()[i].name;
  EXPECT_LE(largest_difference(logits_of(again, golden), golden.logits, golden.vocab), golden.tolerance);
  // The configuration says the same as the published one where that says something.
  for (const char* key : {"model_type",
                          "architectures",
                          "hidden_size",
                          "num_hidden_layers",
                          "vocab_size",
                          "num_attention_heads",
                          "num_key_value_heads",
                          "intermediate_size",
                          "q_lora_rank",
                          "kv_lora_rank",
                          "qk_nope_head_dim",
                          "qk_rope_head_dim",
                          "v_head_dim",
                          "n_routed_experts",
                          "n_shared_experts",
                          "num_experts_per_tok",
                          "moe_intermediate_size",
                          "first_k_dense_replace",
                          "scoring_func",
                          "topk_method",
                          "n_group",
                          "topk_group",
                          "tie_word_embeddings"}) {
    const Json& published = golden.config[key];
    if (published.is_null()) continue;
    EXPECT_EQ(again.source.config[key].dump(), published.dump()) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(Goldens, WriteModel, testing::ValuesIn(golden_variants()), variant_name);

// GGUF files of two families, in every layout that is written.
std::map<std::string, std::string> gguf_files(const Golden& deepseek, const Golden& llama) {
  std::map<std::string, std::string> out;
  auto add = [&](const std::string& name, const std::string& bytes) {
    out[name] = new_path(".gguf");
    EXPECT_TRUE(write_file(Env::real(), out[name], bytes).ok());
  };
  add("fused", deepseek_v3_gguf(deepseek, KeyValue::fused, true));
  add("split", deepseek_v3_gguf(deepseek, KeyValue::split, true));
  add("llama", llama_gguf(llama, 0, static_cast<int>(llama.config["num_hidden_layers"].integer()), true).bytes());
  return out;
}

TEST(WriteGguf, OwnNumbersGiveTheSameModel) {
  const Golden deepseek = read_golden("deepseek_v3"), llama = read_golden("llama_llama3");
  for (const auto& [name, file] : gguf_files(deepseek, llama)) {
    const Golden& golden = name == "llama" ? llama : deepseek;
    const LoadedModel first = load_for_test(file);
    const std::string path = new_path(".gguf");
    const Status written = write(first, "F32", as_loaded, path);
    ASSERT_TRUE(written.ok()) << written.message();
    const LoadedModel again = load_for_test(path);
    EXPECT_EQ(logits_of(again, golden), logits_of(first, golden)) << name;
    EXPECT_EQ(again.source.tensors().size(), first.source.tensors().size());
    if (name == "llama") continue;
    EXPECT_EQ(multi_token_logits(again, golden.tokens, available_kernel_sets().back()),
              multi_token_logits(first, golden.tokens, available_kernel_sets().back()));
  }
}

TEST(WriteGguf, OtherNumbersArriveWhereTheyBelongAndAreRounded) {
  for (const auto& [name, file] : gguf_files(read_golden("deepseek_v3"), read_golden("llama_llama3"))) {
    const LoadedModel first = load_for_test(file);
    for (const char* type : {"F32", "BF16", "Q8_0", "Q4_K_M"}) {
      const std::string path = new_path(".gguf");
      const Status written = write(first, type, others, path);
      ASSERT_TRUE(written.ok()) << written.message();
      const LoadedModel again = load_for_test(path);
      if (type == std::string("F32")) expect_others(again, as_f32);
      for (const Weight& w : again.model.weights()) {
        const std::vector<float> found = numbers(w);
        const bool exact = w.out == 1 || w.name.ends_with("ffn_gate_inp.weight") || w.format->name == "F32";
        for (size_t i = 0; i < found.size(); ++i) {
          const auto at = static_cast<int64_t>(i);
          const float wanted = number_of(w, at / (w.out * w.in), at / w.in % w.out, at % w.in);
          ASSERT_NEAR(found[i], wanted, exact ? 0 : *type == 'Q' && type[1] == '4' ? 0.05 : 0.003) << w.name << type;
        }
      }
    }
  }
}

TEST(WriteGguf, OfAnotherWriterBecomesTheReferencesFolder) {
  const Golden deepseek = read_golden("deepseek_v3"), llama = read_golden("llama_llama3");
  for (const auto& [name, file] : gguf_files(deepseek, llama)) {
    const LoadedModel first = load_for_test(file);
    const std::string path = new_path("");
    const Status written = cross(first, "F32", as_loaded, path);
    if (name == "split") {
      EXPECT_NE(written.message().find("attn_kv_b"), std::string::npos) << written.message();
      continue;
    }
    ASSERT_TRUE(written.ok()) << written.message();
    const Golden& golden = name == "llama" ? llama : deepseek;
    const LoadedModel again = load_for_test(path), published = load_for_test(write_golden_model(golden, Json()));
    ASSERT_EQ(again.model.weights().size(), published.model.weights().size());
    for (size_t i = 0; i < again.model.weights().size(); ++i)
      ASSERT_EQ(numbers(again.model.weights()[i]), numbers(published.model.weights()[i])) << name;
    EXPECT_LE(largest_difference(logits_of(again, golden), golden.logits, golden.vocab), golden.tolerance) << name;
  }
}

TEST(WriteModel, TheTokenizerGoesOverToTheOtherLayout) {
  const std::string folder = write_text_model("qwen2");
  const LoadedModel first = load_for_test(folder);
  const TokenizerSpec& own = *first.source.tokenizer;
  const std::string file = new_path(".gguf"), back = new_path("");
  Status written = cross(first, "BF16", as_loaded, file);
  ASSERT_TRUE(written.ok()) << written.message();
  const LoadedModel gguf = load_for_test(file);
  ASSERT_TRUE(gguf.source.tokenizer.has_value());
  EXPECT_EQ(static_cast<int64_t>(gguf.source.tokenizer->tokens.size()), gguf.model.config().vocab);
  written = cross(gguf, "BF16", as_loaded, back);
  ASSERT_TRUE(written.ok()) << written.message();
  const LoadedModel again = load_for_test(back);
  ASSERT_TRUE(again.source.tokenizer.has_value()) << again.source.tokenizer_problem;
  const std::string text = "Zwölf Boote, 3.5 Knoten!";
  for (const LoadedModel* other : {&gguf, &again}) {
    const TokenizerSpec& spec = *other->source.tokenizer;
    EXPECT_EQ(Tokenizer::create(spec)->encode(text), Tokenizer::create(own)->encode(text));
    EXPECT_EQ(spec.eos, own.eos);
    EXPECT_EQ(spec.bos, own.bos);
    EXPECT_EQ(spec.add_bos, own.add_bos);
    EXPECT_EQ(spec.chat_template, own.chat_template);
  }
}

TEST(WriteModel, ATokenizerThatIsNotSoundDoesNotGoOver) {
  const LoadedModel folder = load_for_test(write_text_model("qwen2"));
  auto refused = [&](const std::function<void(TokenizerSpec&)>& harm) {
    ModelSource source = *ModelSource::open(Env::real(), folder.source.path);
    harm(*source.tokenizer);
    const Status status = check_writable(source, folder.model, {ModelSource::Kind::gguf, "F32"});
    return status.ok() ? std::string() : status.message();
  };
  EXPECT_EQ(refused([](TokenizerSpec&) {}), "");
  EXPECT_NE(refused([](TokenizerSpec& t) { t.eos = 2'000'000'000; }), "");
  EXPECT_NE(refused([](TokenizerSpec& t) { t.merges = {"no such merge"}; }), "");
  EXPECT_NE(refused([](TokenizerSpec& t) { t.tokens.resize(5000, "more"); }), "");
  EXPECT_NE(refused([](TokenizerSpec& t) { t.tokens[3] = t.tokens[4]; }), "");
  EXPECT_NE(refused([](TokenizerSpec& t) { t.rules->patterns = {"[a-f]+"}; }).find("pre-tokenizer"), std::string::npos);
}

TEST(WriteGguf, MetadataIsCopiedWithItsTokenizerAndOnlyTheTypeIsNew) {
  const Golden golden = read_golden("llama_llama3");
  GgufWriter file = llama_gguf(golden, 0, 3, true);
  file.number("general.file_type", uint32_t{2});
  file.number("general.alignment", uint32_t{32});
  file.number("split.count", uint32_t{3});
  file.text("tokenizer.ggml.model", "gpt2");
  const std::vector<std::string> tokens = {"a", "b", "\xff\xfe"};
  file.texts("tokenizer.ggml.tokens", tokens);
  const std::string from = new_path(".gguf"), to = new_path(".gguf");
  ASSERT_TRUE(write_file(Env::real(), from, file.bytes()).ok());
  const LoadedModel first = load_for_test(from);
  const Status written = write(first, "Q8_0", as_loaded, to);
  ASSERT_TRUE(written.ok()) << written.message();
  const LoadedModel again = load_for_test(to);
  EXPECT_EQ(again.source.config["general.file_type"].integer(), 7);
  EXPECT_TRUE(again.source.config["split.count"].is_null());
  ASSERT_TRUE(again.source.tokenizer.has_value());
  EXPECT_EQ(again.source.tokenizer->tokens, tokens);
  for (const auto& [key, value] : first.source.config.object()) {
    if (key == "general.file_type" || key == "split.count") continue;
    EXPECT_EQ(again.source.config[key], value) << key;
  }
  EXPECT_EQ(again.source.raw_metadata.size(), first.source.raw_metadata.size() - 1);
}

TEST(WriteModel, FilesBesideTheWeightsGoAlong) {
  const std::string from = write_golden_model(read_golden("qwen2"), Json()), to = new_path("") + "/";
  Env& env = Env::real();
  for (const char* name : {"tokenizer_config.json", "generation_config.json", "LICENSE", "notes.txt", "optimizer.pt"})
    ASSERT_TRUE(write_file(env, from + "/" + name, name).ok());
  ASSERT_TRUE(write_file(env, from + "/tokenizer_config.json", "{}").ok());
  ASSERT_TRUE(write(load_for_test(from), "BF16", as_loaded, to).ok());
  std::vector<std::string> names;
  const auto entries = env.list(to);
  for (const DirectoryEntry& entry : *entries) names.push_back(entry.name);
  EXPECT_EQ(names, (std::vector<std::string>{"LICENSE", "config.json", "generation_config.json", "model.safetensors",
                                             "tokenizer_config.json"}));
  EXPECT_EQ(*env.read(to + "LICENSE", 100), "LICENSE");
  const Status again = write(load_for_test(from), "BF16", as_loaded, to);
  EXPECT_EQ(again.code(), Code::invalid_argument) << "what is there is not written over";
}

TEST(WriteModel, NothingIsLeftOfWhatWasNotFinished) {
  const LoadedModel folder = load_for_test(write_golden_model(read_golden("qwen2"), Json()));
  const std::string gguf = new_path(".gguf");
  ASSERT_TRUE(write_file(Env::real(), gguf, llama_gguf(read_golden("llama_llama3"), 0, 3, true).bytes()).ok());
  const LoadedModel file = load_for_test(gguf);
  for (const LoadedModel* from : {&folder, &file}) {
    const TemporaryFolder room;
    auto left = [&] { return Env::real().list(room.path)->size(); };
    const std::string path = room.path + "/out";
    ASSERT_TRUE(write(*from, "F32", as_loaded, path).ok());
    const uint64_t whole = from == &file ? *Env::real().size(path) : *Env::real().size(path + "/model.safetensors");
    std::filesystem::remove_all(path);
    // Before the header's end, inside the weights, and where a folder's weights are whole and its other files are not.
    for (const uint64_t space : {uint64_t{100}, whole / 2, whole - 1, whole + 10}) {
      if (from == &file && space > whole) continue;
      SmallDisk disk;
      disk.room = space;
      EXPECT_EQ(write(*from, "F32", as_loaded, path, nullptr, disk).code(), Code::resource_exhausted) << space;
      EXPECT_EQ(left(), 0u) << space;
    }
    auto half = [](uint64_t done, uint64_t total) { return done < total / 2; };
    EXPECT_EQ(write(*from, "F32", as_loaded, path, half).code(), Code::cancelled);
    EXPECT_EQ(left(), 0u);
    auto diverged = [](const Weight& w, int64_t, int64_t, int64_t count, float* out) {
      std::fill(out, out + count * w.in, std::numeric_limits<float>::quiet_NaN());
    };
    const Status refused = write(*from, "F32", diverged, path);
    EXPECT_EQ(refused.code(), Code::invalid_argument);
    EXPECT_NE(refused.message().find("nan"), std::string::npos) << refused.message();
    auto large = [](const Weight& w, int64_t, int64_t, int64_t count, float* out) {
      std::fill(out, out + count * w.in, 65520.0f);
    };
    EXPECT_NE(write(*from, "F16", large, path).message().find("BF16"), std::string::npos);
    EXPECT_EQ(left(), 0u);
  }
}

TEST(WriteModel, WhatCannotBeWrittenIsSaid) {
  const Golden golden = read_golden("deepseek_v3");
  const LoadedModel folder = load_for_test(write_golden_model(golden, Json()));
  EXPECT_NE(write(folder, "Q8_0", as_loaded, new_path("")).message().find("BF16"), std::string::npos);
  const std::string both = new_path(".gguf");
  ASSERT_TRUE(write_file(Env::real(), both, deepseek_v3_gguf(golden, KeyValue::both, false)).ok());
  const LoadedModel two = load_for_test(both);
  const Status forms = write(two, "F32", as_loaded, new_path(".gguf"));
  EXPECT_EQ(forms.code(), Code::unsupported);
  EXPECT_NE(forms.message().find("attn_k_b"), std::string::npos) << forms.message();
  // Known from the files alone, before any weight is read.
  const auto kind = ModelSource::Kind::hugging_face;
  EXPECT_EQ(check_writable(two.source, *describe_model(two.source), {ModelSource::Kind::gguf, "F32"}).message(),
            forms.message());
  EXPECT_TRUE(check_writable(folder.source, *describe_model(folder.source), {kind, "F32"}).ok());
  EXPECT_NE(write(two, "F33", as_loaded, new_path(".gguf")).message().find("Q4_K_M"), std::string::npos);
  EXPECT_EQ(write(two, "F32", as_loaded, both).code(), Code::invalid_argument) << "the source stays";
  std::string bytes;
  ASSERT_TRUE(write_packed(folder.source, folder.model, [&](std::span<const std::byte> piece) -> Status {
                bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
                return {};
              }).ok());
  const std::string packed = new_path(".landfall");
  ASSERT_TRUE(write_file(Env::real(), packed, bytes).ok());
  EXPECT_NE(write(load_for_test(packed), "F32", as_loaded, new_path("")).message().find("packed from"),
            std::string::npos);
}

}  // namespace
}  // namespace landfall
