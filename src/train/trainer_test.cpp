// Whole runs on tiny models that know bytes: they learn, they continue bit for bit, and they find back from steps that
// went wrong.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "data/testing.h"
#include "model/testing.h"
#include "train/power_cut.h"

namespace landfall {
namespace {

std::string sentences() {
  std::string out;
  for (int i = 0; i < 40; ++i) out += "{\"text\": \"the harbour light number " + std::to_string(i % 7) + " is lit\"}\n";
  return out;
}

class TrainerTest : public testing::Test {
 protected:
  explicit TrainerTest(const std::string& variant = "llama_tied") {
    const std::string path = write_text_model(variant);
    loaded_.emplace(load_for_test(path));
    auto source = ModelSource::open(Env::real(), path);
    EXPECT_TRUE(source.ok());
    encoder_.emplace(make_encoder(std::move(*source->tokenizer)));
    learn_from(sentences());
    hooks_.on_step = [this](const StepReport& r) {
      losses_.push_back(r.loss);
      if (on_step_) on_step_(r);
    };
    hooks_.on_validation = [](int64_t, double) {};
    hooks_.on_note = [this](const std::string& note) { notes_.push_back(note); };
    options_ = {.schedule = {.peak = 3e-3, .warm_up = 2, .steps = 12},
                .kernels = available_kernel_sets().back(),
                .folder = join_path(temporary_.path, "run"),
                .keep = 2,
                .save_every = 4};
  }

  void learn_from(const std::string& rows) {
    auto data = TokenDataset::open(Env::real(), {write_example_file(temporary_path("s.jsonl"), rows)}, *encoder_,
                                   {.context = 64});
    ASSERT_TRUE(data.ok()) << data.status().message();
    data_.emplace(std::move(*data));
    auto packing = Packing::create(*data_, {.sequences = 3, .seed = 7});
    ASSERT_TRUE(packing.ok());
    packing_.emplace(std::move(*packing));
  }

  // One process's share of a run: opens the folder and goes on. The values at its end.
  std::vector<std::vector<float>> share(Status* ended = nullptr, bool low_rank = false, int threads = 2) {
    ThreadPool pool(threads);
    auto trainable = low_rank
                         ? Trainable::lora(loaded_->model, {.rank = 4, .targets = {}, .precision = precision_}, pool)
                         : Trainable::full(loaded_->model, pool, precision_);
    EXPECT_TRUE(trainable.ok());
    Trainer trainer(*env_, loaded_->model, *trainable, *packing_, validation_ ? &*validation_ : &*packing_, pool,
                    options_);
    const auto begun = trainer.open(hooks_);
    if (!begun.ok()) {
      *ended = begun.status();
      return {};
    }
    begun_ = *begun;
    const Status status = trainer.run(hooks_);
    if (status.ok()) final_validation_ = trainer.validation_loss().value();
    if (ended) {
      *ended = status;
    } else {
      EXPECT_TRUE(status.ok()) << status.message();
    }
    std::vector<std::vector<float>> out;
    for (const Parameter& p : trainable->parameters()) out.push_back(p.value);
    for (const Parameter& p : trainable->selection_biases()) out.push_back(p.value);
    return out;
  }

  // The losses of 60 steps without a change of settings; those with it are in losses_ then.
  std::vector<double> losses_before(const std::function<void()>& change) {
    options_.schedule.steps = 60;
    options_.folder = join_path(temporary_.path, "before");
    share();
    std::vector<double> before;
    before.swap(losses_);
    change();
    options_.folder = join_path(temporary_.path, "changed");
    share();
    return before;
  }

  TemporaryFolder temporary_;
  std::optional<LoadedModel> loaded_;
  std::optional<ExampleEncoder> encoder_;
  std::optional<TokenDataset> data_;
  std::optional<Packing> packing_, validation_;
  Env* env_ = &Env::real();
  TrainerOptions options_;
  Precision precision_ = Precision::f32;
  TrainerHooks hooks_;
  std::function<void(const StepReport&)> on_step_;
  std::vector<double> losses_;
  std::vector<std::string> notes_;
  int64_t begun_ = -1;
  double final_validation_ = 0;
};

class DeepseekTrainerTest : public TrainerTest {
 protected:
  DeepseekTrainerTest() : TrainerTest("deepseek_v3") {}
};

TEST_F(TrainerTest, LearnsWhatItReads) {
  options_.schedule.steps = 60;
  share();
  ASSERT_EQ(losses_.size(), 60u);
  EXPECT_GT(losses_.front(), std::log(258.0) - 0.5);
  EXPECT_LT(losses_.back(), 0.5 * losses_.front());
}

TEST_F(DeepseekTrainerTest, LearnsWhatItReads) {
  options_.schedule.steps = 60;
  share();
  EXPECT_LT(losses_.back(), 0.5 * losses_.front());
}

TEST_F(TrainerTest, LowRankAdditionsLearn) {
  options_.schedule.steps = 60;
  options_.schedule.peak = 2e-2;
  share(nullptr, true);
  EXPECT_LT(losses_.back(), 0.8 * losses_.front());
}

TEST_F(DeepseekTrainerTest, ProductsInBf16Learn) {
  const std::vector<double> floats = losses_before([&] { precision_ = Precision::bf16; });
  EXPECT_NE(losses_, floats);
  EXPECT_NEAR(losses_.back(), floats.back(), 0.1 * floats.back());
}

TEST_F(TrainerTest, MomentsOf8BitsLearn) {
  const std::vector<double> floats = losses_before([&] { options_.optimizer.small_moments = true; });
  EXPECT_NE(losses_, floats);
  EXPECT_LT(losses_.back(), 1.5 * floats.back());
}

TEST_F(TrainerTest, MuonLearns) {
  options_.optimizer.kind = OptimizerOptions::Kind::muon;
  options_.schedule.steps = 60;
  share();
  EXPECT_LT(losses_.back(), 0.5 * losses_.front());
}

TEST_F(TrainerTest, AStoppedRunEndsAsAnUnbrokenOne) {
  for (int kind : {0, 1, 2, 3, 4}) {
    const bool low_rank = kind == 1;
    precision_ = kind == 4 ? Precision::bf16 : Precision::f32;
    options_.optimizer.small_moments = kind == 3;
    options_.optimizer.kind = OptimizerOptions::Kind::adamw;
    if (kind == 2) options_.optimizer.kind = OptimizerOptions::Kind::muon;
    const std::string base = join_path(temporary_.path, std::to_string(kind));
    options_.folder = base;
    losses_.clear();
    const auto unbroken = share(nullptr, low_rank);
    const std::vector<double> losses = losses_;
    options_.folder = base + "_stopped";
    losses_.clear();
    for (size_t stop_at : {3, 4, 9}) {  // steps in all; not only where a checkpoint is due
      hooks_.stop = [&] { return losses_.size() >= stop_at; };
      Status ended;
      share(&ended, low_rank);
      EXPECT_EQ(ended.code(), Code::cancelled);
    }
    hooks_.stop = nullptr;
    EXPECT_EQ(share(nullptr, low_rank), unbroken);
    EXPECT_EQ(begun_, 9);
    EXPECT_EQ(losses_, losses);
  }
}

TEST_F(TrainerTest, PowerCutsBetweenRenameAndSyncCostOnlyTheStepsSince) {
  options_.save_every = 1;
  const auto unbroken = share();
  options_.folder = join_path(temporary_.path, "cut");
  for (int64_t cuts = 0; cuts < 10; ++cuts) {
    PowerCut disk;
    disk.renames = cuts == 0 ? 1 : 2;  // one checkpoint stays, that of step 0 at first; of the next the name is lost
    env_ = &disk;
    Status ended;
    share(&ended);
    EXPECT_EQ(ended.code(), Code::unavailable) << ended.message();
    EXPECT_EQ(begun_, std::max<int64_t>(0, cuts - 2));
    disk.restart();
  }
  env_ = &Env::real();
  EXPECT_EQ(share(), unbroken);
  EXPECT_EQ(begun_, 8);
}

TEST_F(DeepseekTrainerTest, SelectionBiasesMoveAndContinueBitForBit) {
  const auto still = share();  // without --balance they stay as they were loaded
  options_.balance = 0.125;
  options_.folder = join_path(temporary_.path, "unbroken");
  std::vector<std::vector<double>> imbalance;
  on_step_ = [&](const StepReport& r) { imbalance.push_back(r.imbalance); };
  const auto unbroken = share();
  std::vector<std::vector<float>> loaded;
  for (const Weight& w : loaded_->model.weights()) {
    if (loaded_->model.spec(w).name != "exp_probs_b") continue;
    loaded.emplace_back(static_cast<size_t>(w.in));
    unpack_rows(w, 0, 0, 1, loaded.back().data());
  }
  const size_t layers = loaded.size();
  ASSERT_GT(layers, 0u);
  for (size_t i = 0; i < layers; ++i) {
    const std::vector<float>&before = still[still.size() - layers + i], &after = unbroken[unbroken.size() - layers + i];
    EXPECT_EQ(before, loaded[i]);
    EXPECT_NE(after, loaded[i]);
    for (size_t e = 0; e < after.size(); ++e) {  // a step moves each by the speed or not at all
      const float steps = (after[e] - before[e]) / 0.125f;
      EXPECT_LE(std::abs(steps), 12.0f);
      EXPECT_NEAR(steps, std::round(steps), 1e-4);
    }
  }
  ASSERT_EQ(imbalance.size(), 12u);
  for (const auto& of_layers : imbalance) {
    ASSERT_EQ(of_layers.size(), layers);
    for (double x : of_layers) EXPECT_GE(x, 1.0);
  }
  options_.folder = join_path(temporary_.path, "stopped");
  losses_.clear();
  for (size_t stop_at : {3, 9}) {
    hooks_.stop = [&] { return losses_.size() >= stop_at; };
    Status ended;
    share(&ended);
    EXPECT_EQ(ended.code(), Code::cancelled);
  }
  hooks_.stop = nullptr;
  EXPECT_EQ(share(), unbroken);
}

TEST_F(DeepseekTrainerTest, ALossForBalanceMakesExpertsEquallyBusy) {
  options_.schedule.steps = 24;
  std::vector<std::vector<double>> imbalance;
  on_step_ = [&](const StepReport& r) { imbalance.push_back(r.imbalance); };
  auto last_ten = [&](double weight) {
    options_.balance_loss = weight;
    options_.folder = join_path(temporary_.path, std::to_string(weight));
    imbalance.clear();
    share();
    double sum = 0;
    for (size_t i = imbalance.size() - 10; i < imbalance.size(); ++i) {
      for (double x : imbalance[i]) sum += x / 10 / static_cast<double>(imbalance[i].size());
    }
    return sum;
  };
  const double without = last_ten(0), with = last_ten(1);
  EXPECT_LT(with, 0.9 * without);
}

TEST_F(TrainerTest, AnotherRunIsRefusedNamingWhatDiffers) {
  share();
  options_.schedule.peak = 1e-3;
  Status ended;
  share(&ended);
  EXPECT_EQ(ended.code(), Code::failed_precondition);
  EXPECT_NE(ended.message().find("learning rate"), std::string::npos) << ended.message();
  options_.schedule.peak = 3e-3;
  share(&ended, false, 1);
  EXPECT_NE(ended.message().find("threads"), std::string::npos) << ended.message();
}

TEST_F(TrainerTest, AStepFarAboveTheOthersIsLeftOutAndTheRunGoesOn) {
  std::string noise;
  for (uint32_t i = 0, x = 1; i < 60; ++i)
    noise += static_cast<char>('A' + (x = x * 1664525u + 1013904223u) % 7919 % 50);
  for (char& c : noise) c = c == '\\' ? '#' : c;
  learn_from(sentences() + "{\"text\": \"" + noise + "\"}\n");
  options_.schedule = {.peak = 3e-3, .steps = 80};
  options_.spike = 5;
  share();
  ASSERT_FALSE(notes_.empty());
  EXPECT_NE(notes_[0].find("without its data"), std::string::npos) << notes_[0];
  // Steps between the last checkpoint and that one are done twice, and give the same again.
  EXPECT_GE(losses_.size(), 80u);
  for (size_t i = 25; i < losses_.size(); ++i) EXPECT_LT(losses_[i], 3);
}

TEST_F(TrainerTest, ARunThatDivergesEndsWithAnError) {
  options_.schedule = {.peak = 1e6, .steps = 400};
  options_.optimizer.clip = 0;
  Status ended;
  share(&ended);
  EXPECT_EQ(ended.code(), Code::failed_precondition);
  EXPECT_NE(ended.message().find("64 of the last 1000 steps"), std::string::npos) << ended.message();
  EXPECT_NE(ended.message().find("learning-rate"), std::string::npos) << ended.message();
}

TEST_F(TrainerTest, AStepOfManyBatchesIsLeftOutAsOne) {
  options_.schedule = {.peak = 1e6, .steps = 400};
  options_.optimizer.clip = 0;
  options_.accumulate = 65;
  hooks_.stop = [&] { return !notes_.empty(); };
  Status ended;
  share(&ended);
  EXPECT_EQ(ended.code(), Code::cancelled) << ended.message();
}

TEST_F(TrainerTest, AFirstStepThatIsNotFiniteEndsTheRunAtOnce) {
  const Weight& norm = loaded_->model.weight(-1, "output_norm");
  const float infinite = std::numeric_limits<float>::infinity();
  std::memcpy(norm.buffer->host() + norm.offset, &infinite, sizeof infinite);
  Status ended;
  share(&ended);
  EXPECT_EQ(ended.code(), Code::data_loss);
  EXPECT_NE(ended.message().find("before anything was learned"), std::string::npos) << ended.message();
  EXPECT_TRUE(notes_.empty());
}

TEST_F(TrainerTest, WithPatienceARunEndsWithTheWeightsOfTheBestValidation) {
  // Other words of the same letters: at first they get likelier too, and then no more.
  std::string others;
  for (int i = 0; i < 12; ++i) others += "{\"text\": \"a ship in the night at mile " + std::to_string(i) + "\"}\n";
  const auto held_out = TokenDataset::open(Env::real(), {write_example_file(temporary_path("v.jsonl"), others)},
                                           *encoder_, {.context = 64});
  ASSERT_TRUE(held_out.ok()) << held_out.status().message();
  auto packing = Packing::create(*held_out, {.sequences = 3});
  ASSERT_TRUE(packing.ok());
  validation_.emplace(*packing);
  options_.schedule = {.peak = 5e-3, .warm_up = 2, .steps = 400};
  options_.spike = 100;
  options_.save_every = 8;
  options_.validate_every = 4;
  options_.patience = 3;
  std::vector<double> seen;
  hooks_.on_validation = [&](int64_t, double loss) { seen.push_back(loss); };
  const auto unbroken = share();
  ASSERT_LT(losses_.size(), 400u);
  const auto best = std::min_element(seen.begin(), seen.end());
  EXPECT_EQ(seen.end() - best, 4);
  EXPECT_EQ(final_validation_, *best);
  EXPECT_LT(*best, 0.9 * seen.front());
  ASSERT_FALSE(notes_.empty());
  EXPECT_NE(notes_.back().find("best behind step " + std::to_string(4 * (best - seen.begin() + 1)) + " "),
            std::string::npos)
      << notes_.back();
  EXPECT_EQ(share(), unbroken);  // the same command again does nothing more
  // Losses of other examples say nothing about the best one.
  validation_.reset();
  Status other;
  share(&other);
  EXPECT_NE(other.message().find("another validation"), std::string::npos) << other.message();
  validation_.emplace(*packing);
  // A run that was stopped on the way, and once more while its patience ran out.
  options_.folder = join_path(temporary_.path, "stopped");
  const size_t steps = losses_.size();
  losses_.clear();
  for (size_t stop_at : {steps / 2, steps - 2}) {
    hooks_.stop = [&] { return losses_.size() >= stop_at; };
    Status ended;
    share(&ended);
    EXPECT_EQ(ended.code(), Code::cancelled);
  }
  hooks_.stop = nullptr;
  EXPECT_EQ(share(), unbroken);
}

TEST_F(TrainerTest, PreferencesMakeTheChosenAnswersLikelier) {
  std::string rows;
  for (int i = 0; i < 24; ++i) {
    rows += "{\"prompt\": \"light " + std::to_string(i % 5) +
            "?\", \"chosen\": \"it is lit\", \"rejected\": \"nobody knows\"}\n";
  }
  learn_from(rows);
  options_.preferences = true;
  options_.schedule = {.peak = 3e-3, .steps = 20};
  share(nullptr, true);
  EXPECT_NEAR(losses_.front(), std::log(2.0), 1e-6);
  EXPECT_LT(losses_.back(), 0.3 * losses_.front());
}

TEST_F(TrainerTest, APairInTheWrongOrderIsNoSpikeHoweverSmallTheOthersAre) {
  std::string rows;
  for (int i = 0; i < 24; ++i) {
    const bool odd = i == 11;
    rows += "{\"prompt\": \"light " + std::to_string(i) + "?\", \"chosen\": \"" + (odd ? "nobody knows" : "it is lit") +
            "\", \"rejected\": \"" + (odd ? "it is lit" : "nobody knows") + "\"}\n";
  }
  learn_from(rows);
  options_.preferences = true;
  options_.schedule = {.peak = 1e-3, .steps = 40};
  share(nullptr, true);
  EXPECT_TRUE(notes_.empty()) << notes_[0];
  std::vector<double> last(losses_.end() - 21, losses_.end());
  std::sort(last.begin(), last.end());
  EXPECT_GT(last.back(), 4 * last[10]) << "nothing to be mistaken";
}

TEST(Schedule, RisesHoldsAndFalls) {
  const Schedule cosine{.peak = 1, .floor_share = 0.1, .warm_up = 4, .steps = 104};
  EXPECT_DOUBLE_EQ(cosine.at(0), 0.25);
  EXPECT_DOUBLE_EQ(cosine.at(3), 1);
  EXPECT_DOUBLE_EQ(cosine.at(4), 1);
  EXPECT_NEAR(cosine.at(54), 0.55, 1e-12);
  EXPECT_NEAR(cosine.at(104), 0.1, 1e-12);
  const Schedule linear{.shape = Schedule::Shape::linear, .peak = 1, .floor_share = 0, .steps = 100};
  EXPECT_DOUBLE_EQ(linear.at(25), 0.75);
  const Schedule wsd{.shape = Schedule::Shape::wsd, .peak = 2, .floor_share = 0, .warm_up = 10, .steps = 100};
  EXPECT_DOUBLE_EQ(wsd.at(79), 2);
  EXPECT_DOUBLE_EQ(wsd.at(90), 1);
}

}  // namespace
}  // namespace landfall
