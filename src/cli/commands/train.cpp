// train: teaches a model from files of examples. The run lives in a folder: its checkpoints, its metrics, what was left
// out of the data, and at the end the trained model. The same command again continues a run that was interrupted.
#include <cmath>
#include <cstdio>
#include <functional>

#include "base/text.h"
#include "cli/interrupt.h"
#include "cli/model_loading.h"
#include "cli/peak_memory.h"
#include "cli/terminal.h"
#include "cli/train_recipe.h"
#include "cli/training_flags.h"
#include "cli/training_watch.h"
#include "data/token_dataset.h"
#include "lifecycle/store.h"
#include "lifecycle/training_memory.h"
#include "model/adapter.h"
#include "model/model.h"
#include "model/write_model.h"
#include "train/trainer.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "MODEL", .help = "a name from 'landfall list', or a path"},
    {.name = "DATA",
     .help = "what to learn from: .txt documents, .jsonl with text, chat (Alpaca, ShareGPT, OpenAI) or preferences, or "
             "folders of these",
     .repeated = true},
    {.name = "recipe",
     .help = "instead of MODEL and DATA: 'tide', a small model from nothing, in stages that an interruption continues"},
    {.name = "corpus",
     .help = "for a recipe: a folder with general.jsonl and chat.jsonl",
     .otherwise = "what 'landfall corpus' writes"},
    {.name = "tokens", .kind = Flag::Kind::integer, .help = "of a recipe's pretraining", .otherwise = "20000000"},
    {.name = "parameters", .help = "of a recipe's model: 5m or 15m", .otherwise = "5m"},
    {.name = "out", .help = "the run's folder", .otherwise = "trained; for a recipe its name"},
    {.name = "method", .help = "lora (small additions to the linear maps) or full (every weight)", .otherwise = "lora"},
    {.name = "rank", .kind = Flag::Kind::integer, .help = "of the additions", .otherwise = "8"},
    {.name = "alpha", .kind = Flag::Kind::number, .help = "their weight is alpha / rank", .otherwise = "16"},
    {.name = "targets", .help = "the maps they are made to, as in attn_q,attn_v", .otherwise = "all linear maps"},
    {.name = "epochs", .kind = Flag::Kind::number, .help = "how often the data is read", .otherwise = "1"},
    {.name = "steps", .kind = Flag::Kind::integer, .help = "updates, instead of epochs"},
    {.name = "context",
     .kind = Flag::Kind::integer,
     .help = "the most tokens of a document",
     .otherwise = "512, or the model's own where that is less"},
    {.name = "sequences",
     .kind = Flag::Kind::integer,
     .help = "contexts of tokens in a batch; documents are packed, and do not see each other",
     .otherwise = "4"},
    {.name = "accumulate", .kind = Flag::Kind::integer, .help = "batches for one update", .otherwise = "1"},
    {.name = "learning-rate",
     .kind = Flag::Kind::number,
     .help = "at its peak",
     .otherwise = "2e-4 for lora, 2e-5 for full; 4e-3 for a recipe's pretraining, then a quarter"},
    {.name = "schedule", .help = "cosine, linear, or wsd (constant, then a short fall)", .otherwise = "cosine"},
    {.name = "warm-up", .kind = Flag::Kind::integer, .help = "steps to the peak", .otherwise = "3 % of all"},
    {.name = "beta",
     .kind = Flag::Kind::number,
     .help = "for data with preferences: how firmly the model is held to what it was",
     .otherwise = "0.1"},
    {.name = "optimizer",
     .help = "adamw, or muon for the matrices of the layers",
     .otherwise = "adamw; muon for a recipe"},
    {.name = "moment-bits",
     .help = "of the two running means that AdamW keeps of each number: 32, or 8 to save memory",
     .otherwise = "32"},
    {.name = "weight-decay", .kind = Flag::Kind::number, .help = "of matrices", .otherwise = "0.01"},
    {.name = "balance",
     .kind = Flag::Kind::number,
     .help = "with --method full: by how much a step moves the selection bias of experts that are chosen unevenly",
     .otherwise = "0"},
    {.name = "balance-loss",
     .kind = Flag::Kind::number,
     .help = "weight of a loss for experts that are chosen unevenly within a document",
     .otherwise = "0"},
    {.name = "replay", .help = "general examples mixed in, against forgetting", .repeated = true},
    {.name = "replay-share", .kind = Flag::Kind::number, .help = "their share of all tokens", .otherwise = "0.1"},
    {.name = "validation", .help = "examples that are never learned; their loss is shown", .repeated = true},
    {.name = "patience",
     .kind = Flag::Kind::integer,
     .help = "with --validation: ends when so many of its losses in a row are no better, and takes the best weights",
     .otherwise = "0, which never ends early"},
    {.name = "drop-duplicates", .kind = Flag::Kind::toggle, .help = "leave rows out that are almost the same"},
    {.name = "precision",
     .help = "of products with what is trained: f32, or bf16 with sums and weights in f32 (for the kernel set avx512)",
     .otherwise = "f32"},
    {.name = "recompute",
     .help = "activations computed again instead of kept: none, layer, segments of so many layers (a number), or "
             "two-level (least memory)",
     .otherwise = "layer"},
    {.name = "save-every",
     .kind = Flag::Kind::integer,
     .help = "steps between checkpoints",
     .otherwise = "50; 100 for a recipe"},
    {.name = "keep", .kind = Flag::Kind::integer, .help = "checkpoints that stay", .otherwise = "3"},
    {.name = "type",
     .help = "of the numbers of the trained model's matrices",
     .otherwise = "F16 for a GGUF file, BF16 for a folder"},
    {.name = "report",
     .help = "an HTML page with curves that follows the run; of a recipe one for each stage, as in page-chat.html"},
    {.name = "seed", .kind = Flag::Kind::integer, .help = "of data order and additions", .otherwise = "0"},
    kThreadsFlag,
};

// Flags that say nothing without another one.
constexpr std::pair<std::string_view, std::string_view> kBeside[] = {
    {"corpus", "recipe"},       {"tokens", "recipe"},       {"parameters", "recipe"},
    {"replay-share", "replay"}, {"patience", "validation"},
};
// Flags of one method, which the other has no use for.
constexpr std::pair<std::string_view, std::string_view> kOfMethod[] = {
    {"rank", "lora"}, {"alpha", "lora"}, {"targets", "lora"}, {"balance", "full"}};

Status check_combination(const Arguments& a) {
  for (const auto& [flag, other] : kBeside) LANDFALL_TRY(only_beside(a, flag, other));
  if (a.has("steps") && a.has("epochs"))
    return Status(Code::invalid_argument, "--steps and --epochs both say how long the run is; give one of them");
  for (const auto& [flag, method] : kOfMethod) {
    if (a.has(flag) && a.text("method", "lora") != method) {
      return Status(Code::invalid_argument, "--" + std::string(flag) + " is for --method " + std::string(method) +
                                                " alone; give that, or leave it out");
    }
  }
  return {};
}

// Flags that only some models have a use for.
Status check_balance(const Arguments& a, const Model& model) {
  if (a.has("balance-loss") && model.config().experts == 0)
    return Status(Code::invalid_argument,
                  "--balance-loss is for models with experts, and this one has none; leave it out");
  if (a.has("balance") && !model.config().router_bias) {
    return Status(Code::invalid_argument,
                  "--balance is for routers with a selection bias, as DeepSeek V3's, and this model has none; leave it "
                  "out, or give --balance-loss");
  }
  return {};
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= list.size() && !list.empty();) {
    const size_t end = std::min(list.find(',', at), list.size());
    out.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

Result<LoraOptions> lora_options(const Arguments& a) {
  LoraOptions o{.targets = split(a.text("targets")), .seed = static_cast<uint64_t>(a.integer("seed", 0))};
  LANDFALL_ASSIGN(o.rank, integer(a, "rank", 8, 1, 1024));
  LANDFALL_ASSIGN(o.alpha, number(a, "alpha", 16, 1e-3, 1e5));
  LANDFALL_ASSIGN(o.precision, chosen_precision(a));
  return o;
}

Result<TrainerOptions> trainer_options(const Arguments& a, bool lora) {
  TrainerOptions o;
  LANDFALL_ASSIGN(o.schedule.peak, number(a, "learning-rate", lora ? 2e-4 : 2e-5, 1e-9, 10));
  LANDFALL_ASSIGN(o.schedule.shape, choice<Schedule::Shape>(a, "schedule", "cosine",
                                                            {{"cosine", Schedule::Shape::cosine},
                                                             {"linear", Schedule::Shape::linear},
                                                             {"wsd", Schedule::Shape::wsd}}));
  LANDFALL_ASSIGN(o.optimizer.kind, chosen_optimizer(a, "adamw"));
  LANDFALL_ASSIGN(o.optimizer.small_moments, choice<bool>(a, "moment-bits", "32", {{"32", false}, {"8", true}}));
  o.optimizer.seed = static_cast<uint64_t>(a.integer("seed", 0));
  LANDFALL_ASSIGN(o.optimizer.weight_decay, number(a, "weight-decay", 0.01, 0, 1));
  LANDFALL_ASSIGN(o.accumulate, integer(a, "accumulate", 1, 1, 4096));
  LANDFALL_ASSIGN(o.recompute, chosen_recompute(a, "layer"));
  LANDFALL_ASSIGN(o.kernels, chosen_kernel_set());
  LANDFALL_ASSIGN(o.save_every, integer(a, "save-every", 50, 1, 1'000'000));
  LANDFALL_ASSIGN(const int64_t keep, integer(a, "keep", 3, 1, 1000));
  o.keep = static_cast<int>(keep);
  o.validate_every = o.save_every;
  LANDFALL_ASSIGN(o.patience, integer(a, "patience", 0, 0, 1'000'000));
  LANDFALL_ASSIGN(o.balance, number(a, "balance", 0, 0, 1));
  LANDFALL_ASSIGN(o.balance_loss, number(a, "balance-loss", 0, 0, 100));
  o.folder = join_path(a.text("out", "trained"), "checkpoints");
  return o;
}

// The examples that stand in the files of a flag or of DATA.
Result<TokenDataset> open_data(CommandContext& context, const std::string& flag, const ExampleEncoder& encoder,
                               int64_t length, const std::string& out) {
  const std::vector<std::string> paths = context.arguments.texts(flag);
  LANDFALL_ASSIGN(const std::vector<std::string> files, example_files(context.env, paths));
  const std::string refused = join_path(out, ascii_lower(flag) + std::string(kRefusedEnding));
  for (const std::string& file : files) {
    if (context.env.same(file, refused)) {
      return Status(
          Code::invalid_argument,
          "'" + file + "' is where this run puts rows that it refuses; give it another name, or the run another --out");
    }
  }
  const auto read = [&] {
    Progress progress(context.env, "reading " + std::string(file_name(files[0])));
    return TokenDataset::open(context.env, files, encoder,
                              {.context = length,
                               .drop_near_duplicates = context.arguments.has("drop-duplicates"),
                               .cache_folder = join_path(out, "tokens"),
                               .quarantine = refused,
                               .progress = [&](uint64_t done, uint64_t total) {
                                 progress.update(done, total);
                                 return !stop_requested();
                               }});
  };
  LANDFALL_ASSIGN(TokenDataset data, read());
  std::fprintf(stderr, "%s%s: %s\n", paths[0].c_str(), paths.size() > 1 ? " and others" : "", data.summary().c_str());
  if (data.counts().bad > 0) std::fprintf(stderr, "  refused rows are in %s\n", refused.c_str());
  return data;
}

Status check_memory(int64_t needed, int64_t available) {
  return check_training_memory(needed, available,
                               "give a smaller --sequences or --context, '--recompute two-level', or '--method lora'");
}

std::string type_of_result(const Arguments& a, const ModelSource& source) {
  return a.text("type", source.kind == ModelSource::Kind::gguf ? "F16" : "BF16");
}

// A folder that an earlier end of this run may have left, which goes when the new one is whole.
Status replace_folder(Env& env, const std::string& folder,
                      const std::function<Status(const std::string& path)>& write) {
  const std::string fresh = folder + ".new";
  LANDFALL_TRY(remove_folder(env, fresh));
  LANDFALL_TRY(write(fresh));
  LANDFALL_TRY(remove_folder(env, folder));
  return env.rename(fresh, folder);
}

std::string place_of_result(const std::string& out, const ModelSource& source) {
  return join_path(out, source.kind == ModelSource::Kind::gguf ? "model.gguf" : "model");
}

// The trained model in the layout of the file or folder that it came from, and the additions by themselves in PEFT's.
Status write_result(CommandContext& context, const std::string& out, const ModelSource& source, const Model& model,
                    const Trainable& trainable, const LoraOptions& lora, ThreadPool& pool) {
  if (!trainable.additions().empty()) {
    Adapter adapter{.rank = lora.rank, .alpha = lora.alpha, .base = source.path, .parts = {}};
    for (const Trainable::Addition& a : trainable.additions())
      adapter.parts.push_back({a.weight, a.a->value, a.b->value});
    const std::string folder = join_path(out, "adapter");
    LANDFALL_TRY(replace_folder(context.env, folder, [&](const std::string& path) {
      return write_adapter(context.env, path, model, adapter);
    }));
    std::fprintf(stderr, "the additions are in %s, as PEFT keeps them\n", folder.c_str());
  }
  const std::string path = place_of_result(out, source);
  const auto write = [&](const std::string& to) {
    Progress progress(context.env, "writing the model");
    return write_model(
        context.env, pool, source, model, {source.kind, type_of_result(context.arguments, source)},
        [&](const Weight& weight, int64_t expert, int64_t first, int64_t count, float* numbers) {
          trainable.rows(weight, expert, first, count, numbers);
        },
        to,
        [&](uint64_t done, uint64_t total) {
          progress.update(done, total);
          return !stop_requested();
        });
  };
  LANDFALL_TRY(source.kind == ModelSource::Kind::gguf ? write(path) : replace_folder(context.env, path, write));
  std::fprintf(stderr, "the trained model is %s; try: landfall run %s\n", path.c_str(), path.c_str());
  return {};
}

Status run(CommandContext& context) {
  const Arguments& a = context.arguments;
  if (a.has("recipe")) return train_recipe(context);
  LANDFALL_TRY(check_combination(a));
  for (const char* needed : {"MODEL", "DATA"}) {
    if (!a.has(needed))
      return Status(Code::invalid_argument, std::string(needed) + " is missing; see 'landfall train --help'");
  }
  const std::string out = a.text("out", "trained");
  LANDFALL_ASSIGN(const bool lora, choice<bool>(a, "method", "lora", {{"lora", true}, {"full", false}}));
  LANDFALL_ASSIGN(TrainerOptions options, trainer_options(a, lora));
  LANDFALL_ASSIGN(const LoraOptions additions, lora_options(a));
  LANDFALL_ASSIGN(options.beta, number(a, "beta", 0.1, 1e-4, 100));
  LANDFALL_ASSIGN(const int64_t sequences, integer(a, "sequences", 4, 1, 1 << 16));
  LANDFALL_ASSIGN(const double share, number(a, "replay-share", a.has("replay") ? 0.1 : 0, 0, 0.99));
  LANDFALL_ASSIGN(const int64_t threads, chosen_threads(a));
  LANDFALL_ASSIGN(const double epochs, number(a, "epochs", 1, 1e-6, 1e6));
  const auto seed = static_cast<uint64_t>(a.integer("seed", 0));
  InterruptGuard interrupt;

  LANDFALL_TRY(context.env.make_directories(out));
  LANDFALL_ASSIGN(const auto lock, context.env.lock(join_path(out, "lock")));
  LANDFALL_TRY(TrainingWatch::check_page(context.env, a.text("report")));
  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, a.text("MODEL")));
  LANDFALL_ASSIGN(ModelSource source, ModelSource::open(context.env, path));
  if (!source.tokenizer) return Status(Code::unsupported, source.tokenizer_problem);
  LANDFALL_ASSIGN(Model model, describe_model(source));
  LANDFALL_TRY(check_writable(source, model, {source.kind, type_of_result(a, source)}));
  LANDFALL_TRY(check_target(context.env, source, place_of_result(out, source)).within("--out"));
  LANDFALL_TRY(check_balance(a, model));
  LANDFALL_ASSIGN(const ExampleEncoder encoder, ExampleEncoder::create(*source.tokenizer));
  LANDFALL_TRY(check_vocabulary(encoder.tokenizer(), model.config().vocab));
  if (lora) LANDFALL_TRY(check_targets(model, additions.targets));
  const int64_t numbers = lora ? lora_elements(model, additions) : model.parameters();
  LANDFALL_TRY(
      check_memory(model.memory_bytes() + least_training_bytes(numbers, additions.precision, options.optimizer),
                   static_cast<int64_t>(context.env.available_memory())));
  const int64_t most = std::max<int64_t>(2, model.config().context);  // the model's own
  LANDFALL_ASSIGN(const int64_t length, integer(a, "context", std::min<int64_t>(512, most), 2, most));
  LANDFALL_ASSIGN(const TokenDataset data, open_data(context, "DATA", encoder, length, out));
  std::optional<TokenDataset> replay, validation;
  if (a.has("replay")) {
    LANDFALL_ASSIGN(replay, open_data(context, "replay", encoder, length, out));
  }
  if (a.has("validation")) {
    LANDFALL_ASSIGN(validation, open_data(context, "validation", encoder, length, out));
  }
  LANDFALL_ASSIGN(const Packing packing, Packing::create(data, {sequences, seed, replay ? &*replay : nullptr, share}));
  options.preferences = data.kind() == Example::Kind::preference;
  if (a.has("beta") && !options.preferences)
    return Status(Code::invalid_argument, "--beta is for preferences, and the data are none; leave it out");
  if (validation && (validation->kind() == Example::Kind::preference) != options.preferences) {
    return Status(Code::invalid_argument,
                  "some of the data are preferences and some are not; they are learned in runs of their own");
  }
  std::optional<Packing> validating;
  if (validation) {
    LANDFALL_ASSIGN(validating, Packing::create(*validation, {sequences, 0, nullptr, 0}));
  }

  const auto batches = static_cast<double>(packing.batches(1));
  const auto planned = static_cast<int64_t>(std::ceil(batches * epochs / static_cast<double>(options.accumulate)));
  LANDFALL_ASSIGN(options.schedule.steps, integer(a, "steps", std::max<int64_t>(1, planned), 1, int64_t{1} << 40));
  LANDFALL_ASSIGN(options.schedule.warm_up,
                  integer(a, "warm-up", options.schedule.steps * 3 / 100, 0, options.schedule.steps));

  ThreadPool pool(static_cast<int>(threads));
  {
    Progress progress(context.env, "loading " + std::string(file_name(path)));
    LANDFALL_TRY(load_weights(
        source, pool,
        [&](uint64_t done, uint64_t total) {
          progress.update(done, total);
          return !stop_requested();
        },
        model));
  }
  const int64_t loaded = peak_resident_bytes(context.env);
  const auto available = static_cast<int64_t>(context.env.available_memory());
  options.identity.set("method", lora ? "lora" : "full").set("preferences", options.preferences);
  if (lora) {
    options.identity.set("rank", additions.rank).set("alpha", additions.alpha).set("targets", a.text("targets"));
  }
  if (additions.precision == Precision::bf16) options.identity.set("precision", "bf16");
  LANDFALL_ASSIGN(Trainable trainable,
                  lora ? Trainable::lora(model, additions, pool) : Trainable::full(model, pool, additions.precision));
  Trainer trainer(context.env, model, trainable, packing, validating ? &*validating : nullptr, pool, options);
  LANDFALL_ASSIGN(const int64_t needed, trainer.memory_bytes());
  std::fprintf(stderr, "%lld numbers are trained in %lld steps; that takes about %s beside the model\n",
               static_cast<long long>(trainable.elements()), static_cast<long long>(options.schedule.steps),
               human_bytes(static_cast<uint64_t>(needed)).c_str());
  LANDFALL_TRY(check_memory(needed, available));

  LANDFALL_ASSIGN(const auto watching, TrainingWatch::open(context.env, out, a.text("report")));
  const TrainerHooks hooks = watching->hooks();
  LANDFALL_ASSIGN(const int64_t begun, trainer.open(hooks));
  if (begun > 0) watching->note("continues behind step " + std::to_string(begun));
  const Status trained = trainer.run(hooks);
  LANDFALL_TRY(watching->close());
  LANDFALL_TRY(trained);
  std::fprintf(stderr, "memory: at most %s beside the model; the estimate was %s\n",
               human_bytes(static_cast<uint64_t>(peak_resident_bytes(context.env) - loaded)).c_str(),
               human_bytes(static_cast<uint64_t>(needed)).c_str());
  return write_result(context, out, source, model, trainable, additions, pool);
}

}  // namespace

extern const Command k_train;
const Command k_train = {
    .name = "train",
    .help = "teach a model from your own text or conversations, on this machine",
    .example =
        "landfall train starter notes.jsonl --out ward-notes --epochs 2 --validation held-out.jsonl\n"
        "landfall train deepseek-llm-7b-base protocols.txt --method full --recompute two-level --replay general.txt\n"
        "landfall train --recipe tide --out tide",
    .flags = kFlags,
    .run = run,
};

}  // namespace landfall
