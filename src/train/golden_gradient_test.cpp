// Gradients of whole tiny models against those that torch gives for the published modelling code: every tensor of every
// golden variant, of the mean cross-entropy of the golden prompt (tests/golden/models/README.md, "Gradients").
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>

#include "model/testing.h"
#include "tensor/testing.h"
#include "train/step.h"

namespace landfall {
namespace {

constexpr size_t kElements = 32, kRow = 2 + kElements;
constexpr double kGoldenTolerance = 2e-5;  // of a tensor's gradient norm; the two references agree to half of it

// Element words of the goldens' rule.
class Words {
 public:
  Words(const std::string& name, uint64_t seed) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    state_ = hash ^ (seed * 0x9E3779B97F4A7C15u);
  }
  uint64_t next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// What a row of gradients.f32 says of a gradient.
std::vector<double> row_of(const std::string& name, uint64_t seed, const std::vector<double>& gradient) {
  std::vector<double> out(kRow);
  Words direction("direction of " + name, seed), elements("elements of " + name, seed);
  for (const double g : gradient) {
    out[0] += g * g;
    out[1] += g * (2.0 * static_cast<double>(direction.next() >> 40) * 0x1p-24 - 1.0);
  }
  out[0] = std::sqrt(out[0]);
  for (size_t i = 2; i < kRow; ++i) out[i] = gradient[elements.next() % gradient.size()];
  return out;
}

class GoldenGradients : public testing::TestWithParam<std::string> {
 protected:
  GoldenGradients() : golden_(read_golden(GetParam())), loaded_(load_for_test(write_golden_model(golden_, Json()))) {}

  // By the names of the files.
  std::map<std::string, std::vector<double>> gradients(KernelSet set) {
    auto made = Trainable::full(loaded_.model, pool_);
    EXPECT_TRUE(made.ok()) << made.status().message();
    Step step(loaded_.model, *made, pool_, set, Recompute::layer);
    const auto count = static_cast<size_t>(golden_.prompt);
    const std::span<const int32_t> tokens(golden_.tokens);
    std::vector<int32_t> positions(count), targets(tokens.begin() + 1, tokens.begin() + static_cast<long>(count));
    for (size_t i = 0; i < count; ++i) positions[i] = static_cast<int32_t>(i);
    targets.push_back(-1);
    const landfall::Run run{0, static_cast<int32_t>(count), 0, 0, true};
    step.add_gradients({tokens.first(count), positions, targets, {&run, 1}},
                       std::vector<double>(count - 1, 1.0 / static_cast<double>(count - 1)));
    std::map<std::string, std::vector<double>> out;
    for (const Parameter& p : made->parameters()) {
      const Tensor tensor = step.gradient(p);
      if (!tensor.buffer) continue;
      const std::vector<double> values = load_doubles(tensor);
      for (int64_t e = 0; e < p.experts; ++e) {
        const FileRows rows = file_rows(loaded_.source, loaded_.model.spec(p.seen), e);
        std::vector<double>& whole = out[rows.tensor->name];
        whole.resize(static_cast<size_t>(rows.tensor->rows() * rows.tensor->columns()));
        std::copy_n(values.begin() + e * p.out * p.in, p.out * p.in, whole.begin() + rows.first * p.in);
      }
    }
    return out;
  }

  // Rows of the golden's tensors by name.
  std::map<std::string, std::vector<float>> golden_rows() const {
    const auto bytes = Env::real().read(kGoldenModels + "/" + GetParam() + "/gradients.f32", 1 << 20);
    EXPECT_TRUE(bytes.ok()) << bytes.status().message();
    const Json::Array& tensors = golden_.info["tensors"].array();
    std::map<std::string, std::vector<float>> out;
    if (!bytes.ok() || bytes->size() != tensors.size() * kRow * sizeof(float)) {
      ADD_FAILURE() << "the file has not a row for each of " << tensors.size() << " tensors";
      return out;
    }
    for (size_t i = 0; i < tensors.size(); ++i) {
      std::vector<float>& row = out[tensors[i]["name"].string()];
      row.resize(kRow);
      std::memcpy(row.data(), bytes->data() + i * kRow * sizeof(float), kRow * sizeof(float));
    }
    return out;
  }

  // The largest difference of anything that a row says, relative to the gradient's norm.
  double difference(const std::string& name, const std::vector<double>& gradient,
                    const std::vector<float>& golden) const {
    const std::vector<double> row = row_of(name, static_cast<uint64_t>(golden_.info["seed"].integer()), gradient);
    double out = 0;
    for (size_t j = 0; j < kRow; ++j) {
      out = std::max(out, std::isfinite(row[j]) ? std::abs(row[j] - golden[j]) / golden[0] : 1e30);
    }
    return out;
  }

  Golden golden_;
  LoadedModel loaded_;
  ThreadPool pool_{2};
};

TEST_P(GoldenGradients, AreThoseOfTorch) {
  const auto golden = golden_rows();
  for (const KernelSet set : {KernelSet::reference, available_kernel_sets().back()}) {
    const auto ours = gradients(set);
    double worst = 0;
    for (const auto& [tensor, row] : golden) {
      const auto found = ours.find(tensor);
      const bool has = found != ours.end() && row_of(tensor, 0, found->second)[0] > 0;
      EXPECT_EQ(has, row[0] > 0) << tensor << ": only one of the two has a gradient";
      if (has && row[0] > 0) worst = std::max(worst, difference(tensor, found->second, row));
    }
    for (const auto& [tensor, gradient] : ours) EXPECT_TRUE(golden.contains(tensor)) << tensor;
    std::printf("%-24s %-10s largest difference %.1e of a gradient's norm\n", GetParam().c_str(),
                std::string(name(set)).c_str(), worst);
    EXPECT_LE(worst, kGoldenTolerance) << name(set);
  }
}

TEST_P(GoldenGradients, AFactorThatIsLeftOutShows) {
  const auto golden = golden_rows();
  auto ours = gradients(available_kernel_sets().back());
  for (auto& [tensor, gradient] : ours) {
    const std::vector<float>& row = golden.at(tensor);
    if (row[0] == 0) continue;  // an expert that no token chose
    for (double& g : gradient) g *= 1.001;
    EXPECT_GT(difference(tensor, gradient, row), kGoldenTolerance) << tensor;
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, GoldenGradients, testing::ValuesIn(golden_variants()), variant_name);

}  // namespace
}  // namespace landfall
