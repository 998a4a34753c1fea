#include "lifecycle/evaluation/examinee.h"

#include <algorithm>
#include <utility>

#include "lifecycle/evaluation/log_probability.h"
#include "runtime/sampler.h"

namespace landfall {
namespace {

constexpr int64_t kBatch = 512;         // rows of a step
constexpr size_t kChoicesOfAStep = 16;  // each has cache pages of its own
constexpr int64_t kSpareTokens = 16;    // an answer may be longer than the right one by these before it is cut

// Closes a sequence when it goes.
class OpenSequence {
 public:
  OpenSequence(Engine& engine, Engine::SequenceId id) : id(id), engine_(&engine) {}
  OpenSequence(OpenSequence&& other) noexcept : id(other.id), engine_(std::exchange(other.engine_, nullptr)) {}
  OpenSequence& operator=(OpenSequence&&) = delete;
  ~OpenSequence() {
    if (engine_) engine_->close(id);
  }
  const Engine::SequenceId id;

 private:
  Engine* engine_;
};

}  // namespace

Result<Examinee> Examinee::load(Env& env, const std::string& path, EngineOptions options, bool conversation,
                                const std::function<bool(uint64_t, uint64_t)>& progress) {
  {
    LANDFALL_ASSIGN(const ModelSource source, ModelSource::open(env, path));
    LANDFALL_ASSIGN(const Model described, describe_model(source));
    options.context = std::min(kContext, described.config().context);
  }
  options.batch = kBatch;
  // Beside the question, for each choice of a step: a copy of the page that the question ends in, and one that it ends
  // in itself.
  options.cache_positions = options.context + kBatch + 2 * static_cast<int64_t>(kChoicesOfAStep) * kPagePositions;
  LANDFALL_ASSIGN(Loaded loaded, landfall::load(env, path, options, 1, progress));
  LANDFALL_TRY(loaded.text().status());
  Examinee out;
  out.loaded_ = std::make_unique<Loaded>(std::move(loaded));
  if (conversation) {
    auto chat = ChatFormat::create(out.tokenizer());
    if (!chat.ok()) return Status(Code::unsupported, "no conversation with the model: " + chat.status().message());
    out.chat_ = std::move(*chat);
    // Where a model can choose, it answers at once.
    const ChatMessage message{.role = "user", .content = "?"};
    auto prompt = out.chat_->render({&message, 1}, {.thinking = false});
    if (prompt.ok()) {
      out.thinking_ = false;
    } else {
      prompt = out.chat_->render({&message, 1});
      LANDFALL_TRY(prompt.status());
    }
    if (prompt->starts_in_thinking) {
      return Status(Code::unsupported, "the model thinks before it answers; examine it without --chat");
    }
  }
  LANDFALL_ASSIGN(out.engine_, Engine::create(out.loaded_->model, out.loaded_->options));
  return out;
}

Result<std::vector<int32_t>> Examinee::question_tokens(const std::string& question) const {
  const Tokenizer& t = tokenizer();
  if (!chat_) return t.with_bos(t.encode("Question: " + question + "\nAnswer:"));
  const ChatMessage message{.role = "user", .content = question};
  LANDFALL_ASSIGN(const Prompt prompt, chat_->render({&message, 1}, {.thinking = thinking_}));
  return t.with_bos(t.encode_segments(prompt.segments));
}

std::vector<int32_t> Examinee::answer_tokens(const std::string& answer) const {
  return tokenizer().encode(chat_ ? answer : " " + answer);
}

Result<ItemAnswer> Examinee::answer(const TaskItem& item) {
  LANDFALL_ASSIGN(const std::vector<int32_t> question, question_tokens(item.question));
  size_t longest = answer_tokens(item.answer).size() + kSpareTokens;
  for (const std::string& choice : item.choices) longest = std::max(longest, answer_tokens(choice).size());
  const int64_t context = engine_->options().context;
  if (static_cast<int64_t>(question.size() + longest) > context || static_cast<int64_t>(longest) > kBatch) {
    return Status(Code::invalid_argument, "item " + item.id + " has " + std::to_string(question.size()) +
                                              " tokens and an answer of up to " + std::to_string(longest) +
                                              "; together " + std::to_string(context) + " are possible, and " +
                                              std::to_string(kBatch) + " in an answer: shorten it");
  }
  LANDFALL_ASSIGN(const auto id, engine_->open());
  const OpenSequence sequence(*engine_, id);
  std::vector<float> logits;  // behind the question
  for (size_t at = 0; at < question.size(); at += kBatch) {
    const size_t rows = std::min<size_t>(kBatch, question.size() - at);
    const Engine::Work work{sequence.id, {question.data() + at, rows}};
    LANDFALL_ASSIGN(const auto out, engine_->step({&work, 1}));
    logits.assign(out.row(0).begin(), out.row(0).end());
  }
  return item.choices.empty() ? write(item, sequence.id, std::move(logits))
                              : choose(item, sequence.id, std::move(logits));
}

// The choices are forks of the question's sequence, read together.
Result<ItemAnswer> Examinee::choose(const TaskItem& item, Engine::SequenceId sequence, std::vector<float> logits) {
  ItemAnswer out;
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& choice : item.choices) {
    tokens.push_back(answer_tokens(choice));
    if (tokens.back().empty())
      return Status(Code::invalid_argument, "item " + item.id + " has a choice without tokens");
    out.log_probabilities.push_back(log_probability(logits, tokens.back().front()));
  }
  for (size_t first = 0; first < tokens.size();) {
    std::vector<OpenSequence> forks;
    std::vector<Engine::Work> work;
    size_t rows = 0, last = first;
    for (; last < tokens.size() && last - first < kChoicesOfAStep; ++last) {
      const std::span<const int32_t> read(tokens[last].data(), tokens[last].size() - 1);  // nothing follows the last
      if (rows + read.size() > kBatch) break;
      if (read.empty()) continue;
      LANDFALL_ASSIGN(const auto fork, engine_->fork(sequence));
      forks.emplace_back(*engine_, fork);
      work.push_back({fork, read, static_cast<int32_t>(read.size())});
      rows += read.size();
    }
    if (!work.empty()) {
      LANDFALL_ASSIGN(const auto read, engine_->step(work));
      int64_t row = 0;
      for (size_t c = first; c < last; ++c) {
        for (size_t i = 1; i < tokens[c].size(); ++i) {
          out.log_probabilities[c] += log_probability(read.row(row++), tokens[c][i]);
        }
      }
    }
    first = last;
  }
  size_t best = 0, best_by_sum = 0;
  const auto by_byte = [&](size_t c) { return out.log_probabilities[c] / static_cast<double>(item.choices[c].size()); };
  for (size_t c = 0; c < tokens.size(); ++c) {
    if (!std::isfinite(out.log_probabilities[c])) {
      return Status(Code::internal,
                    "the model's output is not a number; the file may be damaged: try 'landfall verify'");
    }
    if (by_byte(c) > by_byte(best)) best = c;
    if (out.log_probabilities[c] > out.log_probabilities[best_by_sum]) best_by_sum = c;
  }
  out.right = best == item.correct;
  out.right_by_sum = best_by_sum == item.correct;
  return out;
}

// The most likely token each time, until the line or the answer ends, or it is longer than the right one can be.
Result<ItemAnswer> Examinee::write(const TaskItem& item, Engine::SequenceId sequence, std::vector<float> logits) {
  const Sampler sampler(SamplerSettings(), {});
  SamplerScratch scratch;
  const std::vector<int32_t>& ends = tokenizer().eos_ids();
  const size_t most = answer_tokens(item.answer).size() + kSpareTokens;
  std::vector<int32_t> written;
  ItemAnswer out;
  while (written.size() < most) {
    const int32_t token = sampler.draw(logits, scratch);
    if (std::binary_search(ends.begin(), ends.end(), token)) break;
    written.push_back(token);
    out.text = tokenizer().decode(written, /*skip_special=*/true);
    const size_t begun = out.text.find_first_not_of(" \t\r\n");
    if (begun != std::string::npos && out.text.find('\n', begun) != std::string::npos) break;
    const Engine::Work work{sequence, {&written.back(), 1}};
    LANDFALL_ASSIGN(const auto read, engine_->step({&work, 1}));
    logits.assign(read.row(0).begin(), read.row(0).end());
  }
  out.right = meets(out.text, item.answer);
  return out;
}

Result<std::vector<ItemAnswer>> answer_all(Examinee& examinee, const Task& task,
                                           const std::function<bool(uint64_t, uint64_t)>& progress) {
  std::vector<ItemAnswer> out;
  for (const TaskItem& item : task.items) {
    LANDFALL_ASSIGN(ItemAnswer answer, examinee.answer(item));
    out.push_back(std::move(answer));
    if (progress && !progress(out.size(), task.items.size())) {
      return Status(Code::cancelled, "stopped after " + std::to_string(out.size()) + " of " +
                                         std::to_string(task.items.size()) + " items");
    }
  }
  return out;
}

}  // namespace landfall
