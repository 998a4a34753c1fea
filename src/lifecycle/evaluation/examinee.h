// A loaded model that is examined: how a question is put to it, how probable an answer is, what it answers by itself.
//
// A question is put as plain text, "Question: <question>\nAnswer:" with " <answer>" behind it, which suits models that
// only go on with text; or as a conversation in the model's own chat form, with the answer as what the assistant
// writes. Question and answer are cut into tokens apart. One thread; the answers depend on the item alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/result.h"
#include "data/task.h"
#include "model/chat/chat_format.h"
#include "runtime/load.h"

namespace landfall {

// How an item was answered.
struct ItemAnswer {
  bool right = false;
  // Multiple choice: the sum of log p over the tokens of each choice. `right` goes by that sum divided by the choice's
  // bytes (the length-normalised accuracy of the LM evaluation harness: it does not depend on how a vocabulary cuts
  // text), `right_by_sum` by the sum as it is, which favours short choices. The first of equals is taken.
  std::vector<double> log_probabilities;
  bool right_by_sum = false;
  std::string text;  // what was written, of an item that is not multiple choice
};

class Examinee {
 public:
  static constexpr int64_t kContext = 2048;  // of question and answer; less where the model's own is

  // Finds room for kContext positions or the model's own, whichever is less; `options.context` and `batch` are not
  // heeded. progress as in load_weights. unsupported when a conversation is wanted and the model has no chat form, or
  // cannot answer without thinking.
  static Result<Examinee> load(Env& env, const std::string& path, EngineOptions options, bool conversation,
                               const std::function<bool(uint64_t, uint64_t)>& progress);

  // An item whose question and answer do not fit is invalid_argument with the numbers.
  Result<ItemAnswer> answer(const TaskItem& item);

  const Tokenizer& tokenizer() const { return *loaded_->tokenizer; }
  Engine& engine() { return *engine_; }
  // The tokens that a question is put as.
  Result<std::vector<int32_t>> question_tokens(const std::string& question) const;

 private:
  Examinee() = default;
  Result<ItemAnswer> choose(const TaskItem& item, Engine::SequenceId sequence, std::vector<float> logits);
  Result<ItemAnswer> write(const TaskItem& item, Engine::SequenceId sequence, std::vector<float> logits);
  std::vector<int32_t> answer_tokens(const std::string& answer) const;

  std::unique_ptr<Loaded> loaded_;
  std::unique_ptr<Engine> engine_;
  std::optional<ChatFormat> chat_;
  std::optional<bool> thinking_;  // as ChatOptions has it
};

// All items in order. `progress(done, total)` false stops it (cancelled).
Result<std::vector<ItemAnswer>> answer_all(Examinee& examinee, const Task& task,
                                           const std::function<bool(uint64_t, uint64_t)>& progress);

}  // namespace landfall
