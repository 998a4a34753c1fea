#include "model/packed.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "model/testing.h"
#include "model/tokenizer/tokenizer.h"

namespace landfall {
namespace {

class PackedTest : public testing::TestWithParam<const char*> {
 protected:
  PackedTest() : folder_(write_golden_model(read_golden(GetParam()), Json())) {
    auto source = ModelSource::open(Env::real(), folder_);
    EXPECT_TRUE(source.ok()) << source.status().message();
    auto model = describe_model(*source);
    EXPECT_TRUE(model.ok()) << model.status().message();
    EXPECT_TRUE(load_weights(*source, pool_, {}, *model).ok());
    tensors_ = source->tensors().size();
    weights_.assign(model->memory().begin(), model->memory().end());
    const Status done = write_packed(*source, *model, [&](std::span<const std::byte> piece) -> Status {
      bytes_.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      return {};
    });
    EXPECT_TRUE(done.ok()) << done.message();
    EXPECT_LE(bytes_.size(), packed_bytes(*model));
  }
  ~PackedTest() override { std::filesystem::remove_all(folder_); }

  Result<ModelSource> open(const std::string& bytes) {
    const std::string path = folder_ + "/m.landfall";
    auto file = Env::real().open_output(path, false);
    EXPECT_TRUE(file.ok() && (*file)->append(bytes).ok());
    file->reset();
    return ModelSource::open(Env::real(), path);
  }

  ThreadPool pool_{2};
  std::string folder_, bytes_;
  std::vector<std::byte> weights_;
  size_t tensors_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Models, PackedTest, testing::Values("llama_tied", "deepseek_v3", "deepseek_v3_fp8"));

TEST_P(PackedTest, HoldsTheWeightsAsTheyAreLoadedMappedOrCopied) {
  for (bool copy : {false, true}) {
    auto source = open(bytes_);
    ASSERT_TRUE(source.ok()) << source.status().message();
    EXPECT_EQ(source->tensors().size(), tensors_);
    auto model = describe_model(*source);
    ASSERT_TRUE(model.ok()) << model.status().message();
    ASSERT_TRUE(load_weights(*source, pool_, {}, *model, copy).ok());
    EXPECT_EQ(model->memory().data() == source->packed.data(), !copy);
    if (!copy) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(model->memory().data()) % (size_t{2} << 20), 0u);
    }
    ASSERT_EQ(model->memory().size(), weights_.size());
    EXPECT_EQ(std::memcmp(model->memory().data(), weights_.data(), weights_.size()), 0);
    *source = ModelSource();  // the model keeps what it is mapped from
    EXPECT_EQ(std::memcmp(model->memory().data(), weights_.data(), weights_.size()), 0);
  }
}

TEST_P(PackedTest, TheMultiTokenLayerIsLeftOut) {
  auto source = open(bytes_);
  ASSERT_TRUE(source.ok()) << source.status().message();
  auto model = describe_model(*source);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_TRUE(model->notes().empty());
  const Status refused = describe_multi_token(*source, *model).status();
  EXPECT_EQ(refused.code(), Code::not_found);
  if (model->config().multi_token_layers > 0) {
    EXPECT_NE(refused.message().find("pack"), std::string::npos) << refused.message();
  }
}

TEST_P(PackedTest, WhatIsDamagedOrOfAnotherVersionIsRefused) {
  auto changed = [&](size_t at, char value) {
    std::string out = bytes_;
    out[at] = value;
    return open(out);
  };
  EXPECT_NE(changed(8, 9).status().message().find("version 9"), std::string::npos);
  EXPECT_FALSE(changed(17, 0).ok());  // an index that ends elsewhere is no JSON
  EXPECT_EQ(changed(22, 1).status().code(), Code::data_loss);
  EXPECT_EQ(changed(24, 1).status().code(), Code::data_loss);
  EXPECT_EQ(changed(32, '\x01').status().code(), Code::data_loss);
  for (size_t size : {size_t{40}, size_t{100}, bytes_.size() - 1}) {
    EXPECT_EQ(open(bytes_.substr(0, size)).status().code(), Code::data_loss) << size;
  }
  // A whole file whose weights are fewer than its shapes ask for.
  std::string less = bytes_.substr(0, bytes_.size() - 64);
  const uint64_t size = weights_.size() - 64;
  std::memcpy(less.data() + 32, &size, sizeof size);
  auto source = open(less);
  ASSERT_TRUE(source.ok()) << source.status().message();
  auto model = describe_model(*source);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(load_weights(*source, pool_, {}, *model).code(), Code::data_loss);
  std::vector<std::byte> scratch;
  EXPECT_FALSE(source->tensors()[0].read_row(0, scratch).ok());
}

}  // namespace
}  // namespace landfall
