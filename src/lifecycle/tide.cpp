#include "lifecycle/tide.h"

#include <algorithm>
#include <optional>

#include "data/source_rows.h"
#include "data/token_dataset.h"
#include "data/train_tokenizer.h"
#include "lifecycle/corpus.h"
#include "lifecycle/evaluation/examinee.h"
#include "lifecycle/training_memory.h"
#include "model/model.h"
#include "model/new_folder.h"
#include "model/new_model.h"
#include "model/write_model.h"
#include "train/trainable.h"

namespace landfall {
namespace {

constexpr int64_t kContext = 512;   // tokens of a document; longer text is cut
constexpr int64_t kSequences = 8;   // contexts of a step
constexpr uint64_t kHeldOut = 200;  // every so many rows one is never learned
constexpr double kBalance = 1e-3;   // as DeepSeek-V3
constexpr double kWeightDecay = 0.1;
constexpr int64_t kChatShare = 5;  // of the tokens of pretraining one in so many, for chat
constexpr double kChatRate = 0.25;
constexpr double kChatReplay = 0.25;  // of its tokens: general text again, against forgetting
constexpr size_t kQuestions = 100;    // of each task
constexpr const char* kAdvice = "close other programs, or give a smaller --parameters";

struct Training {
  std::string name, begins_with, data, held_out;
  std::string replay;  // none: empty
  int64_t tokens;
  double learning_rate;
  Schedule::Shape schedule;
  std::string type, result;  // of the model that it writes
};

class Tide {
 public:
  Tide(Env& env, ThreadPool& pool, const TideOptions& options, const TideHooks& hooks)
      : env_(env), pool_(pool), o_(options), hooks_(hooks) {}

  Result<TideResult> run() {
    LANDFALL_TRY(env_.make_directories(o_.folder));
    LANDFALL_ASSIGN(const auto lock, env_.lock(in("lock")));
    LANDFALL_TRY(agree());
    if (o_.corpus.empty()) LANDFALL_TRY(stage("corpus", in("corpus"), [&] { return open_corpus(); }));
    LANDFALL_TRY(stage("data", in("data"), [&] { return divide_corpus(); }));
    LANDFALL_TRY(stage("tokenizer", in("tokenizer"), [&] { return learn_tokenizer(); }));
    LANDFALL_TRY(stage("new model", in("new.gguf"), [&] { return begin_model(); }));
    // A long constant rate and a short fall leave the model ready to go on from (WSD, arXiv 2404.06395).
    LANDFALL_TRY(train({"pretraining", in("new.gguf"), in("data/general.jsonl"), in("data/general_held_out.jsonl"), "",
                        o_.tokens, o_.learning_rate, Schedule::Shape::wsd, "F32", in("pretraining/model.gguf")}));
    LANDFALL_TRY(train({"chat", in("pretraining/model.gguf"), in("data/chat.jsonl"), in("data/chat_held_out.jsonl"),
                        in("data/general.jsonl"), o_.tokens / kChatShare, kChatRate * o_.learning_rate,
                        Schedule::Shape::cosine, "F16", in("tide.gguf")}));
    TideResult out{.model = in("tide.gguf")};
    LANDFALL_ASSIGN(out.general_loss, loss_of("pretraining"));
    LANDFALL_ASSIGN(out.chat_loss, loss_of("chat"));
    if (!env_.is_directory(tasks())) return out;
    LANDFALL_TRY(stage("evaluation", in("evaluation.json"), [&] { return examine(); }));
    LANDFALL_ASSIGN(const std::string text, env_.read(in("evaluation.json")));
    LANDFALL_ASSIGN(const Json scores, parse_json(text));
    for (const auto& [task, score] : scores.object())
      out.scores.push_back({task, score["items"].integer(), score["right"].integer()});
    return out;
  }

 private:
  std::string in(const std::string& name) const { return join_path(o_.folder, name); }

  // The folder is one request's.
  Status agree() {
    Json now;
    now.set("recipe", "tide").set("corpus", o_.corpus).set("shape", o_.shape).set("vocabulary", o_.vocabulary);
    now.set("tokens", o_.tokens).set("learning rate", o_.learning_rate).set("seed", o_.seed);
    now.set("optimizer", o_.optimizer == OptimizerOptions::Kind::muon ? "muon" : "adamw");
    const std::string path = in("recipe.json");
    if (!env_.exists(path)) return write_file(env_, path, now.dump(2) + "\n");
    LANDFALL_ASSIGN(const std::string text, env_.read(path));
    LANDFALL_ASSIGN(const Json before, parse_json(text));
    for (const auto& [key, value] : now.object()) {
      if (before[key] == value) continue;
      return Status(Code::failed_precondition, "the run in '" + o_.folder + "' has another " + key + ": " +
                                                   before[key].dump() + ", now it is " + value.dump() +
                                                   "; give the same again to continue it, or another folder");
    }
    return {};
  }

  template <class Work>
  Status stage(const std::string& name, const std::string& result, const Work& work) {
    if (env_.exists(result)) {
      hooks_.watch.say(name + ": done already, see " + result);
      return {};
    }
    hooks_.watch.say(name);
    return work();
  }

  int64_t free_memory() { return static_cast<int64_t>(env_.available_memory()); }
  std::string corpus() const { return o_.corpus.empty() ? in("corpus") : o_.corpus; }
  std::string tasks() const { return join_path(corpus(), "tasks"); }

  Status open_corpus() {
    Watch watch = hooks_.watch;
    watch.progress = nullptr;  // steps of seconds, each of which is named
    return write_corpus(env_, in("corpus"), {.seed = o_.seed}, watch).status();
  }

  // Rows to learn from and rows that are held out, of both files.
  Status divide_corpus() {
    return write_folder(env_, in("data"), [&](const std::string& folder) -> Status {
      for (const std::string name : {"general", "chat"}) LANDFALL_TRY(divide(name, folder));
      return {};
    });
  }

  Status divide(const std::string& name, const std::string& folder) {
    const std::string path = join_path(corpus(), name + ".jsonl");
    LANDFALL_ASSIGN(const auto file, env_.map(path));
    const std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
    SourceRows rows(bytes, SourceRows::Form::lines);
    std::string learned, held_out;
    SourceRow row;
    for (uint64_t count = 0;; ++count) {
      LANDFALL_ASSIGN(const bool more, rows.next(row));
      if (!more) break;
      (count % kHeldOut == 0 ? held_out : learned).append(row.bytes).push_back('\n');
    }
    if (learned.empty())
      return Status(Code::invalid_argument, "'" + path + "' has fewer than two rows; there is nothing to learn from");
    LANDFALL_TRY(write_file(env_, join_path(folder, name + ".jsonl"), learned));
    return write_file(env_, join_path(folder, name + "_held_out.jsonl"), held_out);
  }

  Status learn_tokenizer() {
    const std::vector<std::string> files = {in("data/general.jsonl"), in("data/chat.jsonl")};
    TokenizerTraining options{.vocabulary = o_.vocabulary};
    options.reading = [&](uint64_t done, uint64_t total) {
      hooks_.watch.at(done, total);
      return !hooks_.watch.stop();
    };
    options.merging = [&](uint64_t, uint64_t) { return !hooks_.watch.stop(); };
    LANDFALL_ASSIGN(const TokenizerSpec spec, train_tokenizer(env_, files, options));
    return write_tokenizer(env_, in("tokenizer"), spec);
  }

  Status begin_model() {
    LANDFALL_ASSIGN(const TokenizerSpec tokenizer, read_tokenizer(env_, in("tokenizer")));
    LANDFALL_ASSIGN(const ModelShape shape, new_model_shape(o_.shape, tokenizer));
    return write_new_model(env_, shape, tokenizer, o_.seed, in("new.gguf"));
  }

  Result<TokenDataset> open_data(const std::string& path, const ExampleEncoder& encoder, const std::string& folder) {
    TokenDatasetOptions options{
        .context = kContext,
        .cache_folder = join_path(folder, "tokens"),
        .quarantine = join_path(folder, std::string(file_name(path)) + std::string(kRefusedEnding)),
        .progress = [&](uint64_t done, uint64_t total) {
          hooks_.watch.at(done, total);
          return !hooks_.watch.stop();
        }};
    LANDFALL_ASSIGN(TokenDataset data, TokenDataset::open(env_, {path}, encoder, options));
    hooks_.watch.say(std::string(file_name(path)) + ": " + data.summary());
    return data;
  }

  Status train(const Training& t) {
    return stage(t.name, t.result, [&]() -> Status {
      const std::string folder = in(t.name);
      LANDFALL_TRY(env_.make_directories(folder));
      LANDFALL_ASSIGN(const ModelSource source, ModelSource::open(env_, t.begins_with));
      if (!source.tokenizer) return Status(Code::data_loss, source.tokenizer_problem);
      LANDFALL_ASSIGN(const ExampleEncoder encoder, ExampleEncoder::create(*source.tokenizer));
      LANDFALL_ASSIGN(Model model, describe_model(source));
      LANDFALL_TRY(check_training_memory(
          model.memory_bytes() + least_training_bytes(model.parameters(), Precision::f32, {}), free_memory(), kAdvice));
      LANDFALL_ASSIGN(const TokenDataset data, open_data(t.data, encoder, folder));
      LANDFALL_ASSIGN(const TokenDataset held_out, open_data(t.held_out, encoder, folder));
      PackingOptions packed{.sequences = kSequences, .seed = o_.seed};
      std::optional<TokenDataset> replay;
      if (!t.replay.empty()) {
        LANDFALL_ASSIGN(replay, open_data(t.replay, encoder, folder));
        packed.replay = &*replay;
        packed.replay_share = kChatReplay;
      }
      LANDFALL_ASSIGN(const Packing packing, Packing::create(data, packed));
      const auto steps = static_cast<int64_t>(packing.batches_of_tokens(static_cast<uint64_t>(t.tokens)));
      LANDFALL_ASSIGN(const Packing validating, Packing::create(held_out, {.sequences = kSequences}));
      LANDFALL_TRY(load_weights(
          source, pool_, [&](uint64_t, uint64_t) { return !hooks_.watch.stop(); }, model));
      const int64_t available = free_memory();
      LANDFALL_ASSIGN(Trainable trainable, Trainable::full(model, pool_));
      Trainer trainer(env_, model, trainable, packing, &validating, pool_, trainer_options(t, steps, folder));
      LANDFALL_ASSIGN(const int64_t needed, trainer.memory_bytes());
      LANDFALL_TRY(check_training_memory(needed, available, kAdvice));
      double loss = 0;
      LANDFALL_TRY(hooks_.training(folder, [&](const TrainerHooks& training) -> Status {
        LANDFALL_ASSIGN(const int64_t begun, trainer.open(training));
        if (begun > 0) training.on_note("continues behind step " + std::to_string(begun));
        LANDFALL_TRY(trainer.run(training));
        LANDFALL_ASSIGN(loss, trainer.validation_loss());
        return {};
      }));
      Json result;
      result.set("tokens", t.tokens).set("held_out_loss", loss);
      LANDFALL_TRY(write_file(env_, join_path(folder, "result.json"), result.dump(2) + "\n"));
      return write_model(
          env_, pool_, source, model, {source.kind, t.type},
          [&](const Weight& weight, int64_t expert, int64_t first, int64_t count, float* to) {
            trainable.rows(weight, expert, first, count, to);
          },
          t.result, [&](uint64_t, uint64_t) { return !hooks_.watch.stop(); });
    });
  }

  TrainerOptions trainer_options(const Training& t, int64_t steps, const std::string& folder) const {
    TrainerOptions out;
    out.schedule = {.shape = t.schedule, .peak = t.learning_rate, .floor_share = 0.05};
    out.schedule.steps = steps;
    out.schedule.warm_up = std::min<int64_t>(100, steps / 10);
    out.optimizer = {.kind = o_.optimizer, .weight_decay = kWeightDecay};
    out.recompute = Recompute::none;  // a small model's activations are small
    out.kernels = o_.kernels;
    out.balance = kBalance;
    out.folder = join_path(folder, "checkpoints");
    out.keep = 2;
    out.save_every = out.validate_every = o_.save_every;
    return out;
  }

  // The first questions of each task, put as conversations.
  Status examine() {
    EngineOptions options{.threads = pool_.threads()};
    options.device.kernels = o_.kernels;
    LANDFALL_ASSIGN(Examinee examinee, Examinee::load(env_, in("tide.gguf"), options, true,
                                                      [&](uint64_t, uint64_t) { return !hooks_.watch.stop(); }));
    const auto answered = [&](uint64_t done, uint64_t total) {
      if (hooks_.questions) hooks_.questions(done, total);
      return !hooks_.watch.stop();
    };
    LANDFALL_ASSIGN(const auto entries, env_.list(tasks()));
    Json scores{Json::Object{}};
    for (const DirectoryEntry& entry : entries) {
      if (!entry.name.ends_with(".jsonl")) continue;
      const std::string path = join_path(tasks(), entry.name);
      LANDFALL_ASSIGN(const std::string bytes, env_.read(path));
      LANDFALL_ASSIGN(Task task, parse_task(path, bytes));
      task.items.resize(std::min(task.items.size(), kQuestions));
      hooks_.watch.say(task.name + ": " + std::to_string(task.items.size()) + " questions");
      LANDFALL_ASSIGN(const auto answers, answer_all(examinee, task, answered));
      const auto right = std::count_if(answers.begin(), answers.end(), [](const ItemAnswer& a) { return a.right; });
      scores.set(task.name, Json().set("items", answers.size()).set("right", right));
    }
    return write_file(env_, in("evaluation.json"), scores.dump(2) + "\n");
  }

  Result<double> loss_of(const std::string& stage) {
    LANDFALL_ASSIGN(const std::string text, env_.read(join_path(in(stage), "result.json")));
    LANDFALL_ASSIGN(const Json result, parse_json(text));
    return result["held_out_loss"].number();
  }

  Env& env_;
  ThreadPool& pool_;
  const TideOptions& o_;
  const TideHooks& hooks_;
};

}  // namespace

Result<TideResult> train_tide(Env& env, ThreadPool& pool, const TideOptions& options, const TideHooks& hooks) {
  return Tide(env, pool, options, hooks).run();
}

}  // namespace landfall
