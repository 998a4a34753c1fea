// A new model is one that the ordinary loader reads, knows nothing, and comes out the same from the same seed.
#include "model/new_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/testing.h"
#include "model/model.h"
#include "model/tokenizer/byte_level.h"
#include "model/tokenizer/utf8.h"
#include "tensor/access.h"
#include "tensor/operator.h"
#include "tensor/weight.h"

namespace landfall {
namespace {

TokenizerSpec bytes_tokenizer() {
  TokenizerSpec out;
  out.pre = "deepseek-v3";
  for (int byte = 0; byte < 256; ++byte)
    append_utf8(out.tokens.emplace_back(), byte_level_character(static_cast<unsigned char>(byte)));
  out.tokens.insert(out.tokens.end(), {"<bos>", "<eos>"});
  out.types.assign(256, kTokenNormal);
  out.types.insert(out.types.end(), 2, kTokenControl);
  out.bos = 256;
  out.eos = 257;
  return out;
}

class NewModelTest : public testing::TestWithParam<const char*> {
 protected:
  std::string write(uint64_t seed, const std::string& name) {
    const std::string path = join_path(temporary_.path, name);
    const auto shape = new_model_shape(GetParam(), bytes_tokenizer());
    LANDFALL_CHECK(shape.ok());
    const Status status = write_new_model(Env::real(), *shape, bytes_tokenizer(), seed, path);
    EXPECT_TRUE(status.ok()) << status.message();
    return path;
  }
  TemporaryFolder temporary_;
};

TEST_P(NewModelTest, IsReadByTheOrdinaryLoaderAndGuessesEvenly) {
  const auto source = ModelSource::open(Env::real(), write(1, "new.gguf"));
  ASSERT_TRUE(source.ok()) << source.status().message();
  ASSERT_TRUE(source->tokenizer.has_value()) << source->tokenizer_problem;
  auto model = describe_model(*source);
  ASSERT_TRUE(model.ok()) << model.status().message();
  ThreadPool pool(2);
  ASSERT_TRUE(load_weights(*source, pool, nullptr, *model).ok());
  EXPECT_GT(model->config().kv_lora, 0);
  EXPECT_TRUE(model->config().router_bias);
  int64_t numbers = 0;
  for (const Weight& w : model->weights()) {
    numbers += w.elements();
    std::vector<float> row(static_cast<size_t>(w.in));
    double squares = 0;
    for (int64_t r = 0; r < w.experts * w.out; ++r) {
      unpack_rows(w, r / w.out, r % w.out, 1, row.data());
      for (float v : row) squares += v * v;
    }
    const double deviation = std::sqrt(squares / static_cast<double>(w.elements()));
    if (model->spec(w).name == "exp_probs_b") {
      EXPECT_EQ(deviation, 0) << w.name;
    } else if (w.out == 1) {
      EXPECT_EQ(deviation, 1) << w.name;
    } else {
      EXPECT_GT(deviation, 0.008) << w.name;
      EXPECT_LT(deviation, 0.2) << w.name;
    }
  }
  // The name says how many there are with a vocabulary of 4096.
  const double millions = static_cast<double>(numbers + 2 * (4096 - 258) * model->config().width) / 1e6;
  const double named = std::strtod(GetParam() + std::string_view("tide-").size(), nullptr);
  EXPECT_NEAR(millions / named, 1, 0.1) << millions;
}

TEST_P(NewModelTest, TheSeedAloneDecides) {
  auto read = [](const std::string& path) { return *Env::real().read(path); };
  const std::string one = read(write(7, "a.gguf"));
  EXPECT_EQ(one, read(write(7, "b.gguf")));
  EXPECT_NE(one, read(write(8, "c.gguf")));
}

INSTANTIATE_TEST_SUITE_P(Shapes, NewModelTest, testing::Values("tide-5m", "tide-15m"),
                         [](const auto& info) { return std::string(info.param).substr(5); });

TEST(NewModel, AnUnknownNameListsTheKnown) {
  const auto shape = new_model_shape("tide-7t", bytes_tokenizer());
  EXPECT_NE(shape.status().message().find("tide-5m, tide-15m"), std::string::npos) << shape.status().message();
}

}  // namespace
}  // namespace landfall
