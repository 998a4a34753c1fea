// The house's own model from nothing, as a recipe: corpus, tokenizer, a new model, pretraining, chat fine-tuning, one
// GGUF file that every command takes, and its examination. Each stage leaves its result under a name that is there only
// when it is whole; the same call again skips what is done and continues what is not, training from its last
// checkpoint.
//
//   <folder>/recipe.json     what was asked for; another request in the same folder is refused
//            corpus/         where none is given (lifecycle/corpus.h)
//            data/           general.jsonl, chat.jsonl to learn from; general_held_out.jsonl, chat_held_out.jsonl
//            tokenizer/      tokenizer.json, tokenizer_config.json
//            new.gguf        initial weights
//            pretraining/    a training run, its result.json and its model.gguf in f32
//            chat/           the same for conversations
//            tide.gguf       the model
//            evaluation.json where the corpus has tasks: {name: {"items", "right"}}
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/thread_pool.h"
#include "lifecycle/watch.h"
#include "train/trainer.h"

namespace landfall {

struct TideOptions {
  std::string folder;
  std::string corpus;  // a folder with general.jsonl and chat.jsonl; empty: the open corpus (lifecycle/corpus.h)
  std::string shape = "tide-5m";  // of new_model.h
  int64_t vocabulary = 4096;      // tokens
  int64_t tokens = 20'000'000;    // of pretraining; a fifth as many for chat, a quarter of these general text again
  double learning_rate = 4e-3;    // of pretraining, at its peak; a quarter for chat
  OptimizerOptions::Kind optimizer = OptimizerOptions::Kind::muon;
  uint64_t seed = 0;
  KernelSet kernels = KernelSet::scalar;
  int64_t save_every = 100;  // steps
};

struct TideHooks {
  Watch watch;  // of files; notes say which stage begins or is done already
  std::function<void(uint64_t done, uint64_t total)> questions;  // of a task of the examination
  // Runs a stage of training with hooks of its own; `folder` is the stage's.
  std::function<Status(const std::string& folder, const std::function<Status(const TrainerHooks&)>& train)> training;
};

struct TideScore {
  std::string task;
  int64_t items = 0, right = 0;
};

struct TideResult {
  std::string model;                       // path of the GGUF file
  double general_loss = 0, chat_loss = 0;  // held-out, nats a token, at the end of pretraining and of chat
  std::vector<TideScore> scores;
};

// cancelled when the watch says so. The folder is one caller's at a time (it is locked).
Result<TideResult> train_tide(Env& env, ThreadPool& pool, const TideOptions& options, const TideHooks& hooks);

}  // namespace landfall
