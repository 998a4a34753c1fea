#include "model/safetensors_writer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/json.h"
#include "base/testing.h"

namespace landfall {
namespace {

const Format* format(const char* name) { return format_by_name(name); }

// Rows longer than a piece, a vector, a number alone and a tensor of nothing; every byte says which row it is of.
TEST(SafetensorsWriter, HeaderSaysWhereTheBytesAre) {
  const std::vector<OutputTensor> tensors = {{"wide", {3, 5'000'000}, format("F32")},
                                             {"many", {2, 3, 7}, format("BF16")},
                                             {"vector", {5}, format("F16")},
                                             {"number", {}, format("F16")},
                                             {"nothing", {0, 4}, format("F32")}};
  const std::string path = temporary_path("written.safetensors");
  uint64_t last = 0, all = 0;
  const Status written = write_safetensors(
      Env::real(), path, tensors,
      [&](size_t tensor, int64_t first, int64_t count, std::span<std::byte> out) -> Status {
        EXPECT_EQ(static_cast<int64_t>(out.size()), count * tensors[tensor].row_bytes());
        for (int64_t r = 0; r < count; ++r) {
          const auto mark = static_cast<int>(16 * tensor) + static_cast<int>(first + r) + 1;
          std::memset(out.data() + r * tensors[tensor].row_bytes(), mark,
                      static_cast<size_t>(tensors[tensor].row_bytes()));
        }
        return {};
      },
      [&](uint64_t done, uint64_t total) {
        EXPECT_GE(done, last);
        last = done, all = total;
        return true;
      });
  ASSERT_TRUE(written.ok()) << written.message();
  const auto file = Env::real().read(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(last, file->size());
  EXPECT_EQ(all, file->size());
  uint64_t length = 0;
  std::memcpy(&length, file->data(), 8);
  EXPECT_EQ((8 + length) % 64, 0u);
  const auto header = parse_json(std::string_view(*file).substr(8, length));
  ASSERT_TRUE(header.ok()) << header.status().message();
  EXPECT_EQ((*header)["__metadata__"]["format"].string(), "pt");
  size_t end = 8 + length;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Json& row = (*header)[tensors[i].name];
    EXPECT_EQ(row["dtype"].string(), tensors[i].format->name);
    EXPECT_EQ(row["shape"].array().size(), tensors[i].shape.size());
    EXPECT_EQ(8 + length + static_cast<uint64_t>(row["data_offsets"].array()[0].integer()), end) << "no room between";
    for (int64_t r = 0; r < tensors[i].rows(); ++r) {
      const auto bytes = static_cast<size_t>(tensors[i].row_bytes());
      EXPECT_EQ(file->substr(end, bytes), std::string(bytes, static_cast<char>(16 * i + static_cast<size_t>(r) + 1)));
      end += bytes;
    }
    EXPECT_EQ(8 + length + static_cast<uint64_t>(row["data_offsets"].array()[1].integer()), end);
  }
  EXPECT_EQ(end, file->size());
}

TEST(SafetensorsWriter, BlocksAreRefusedByName) {
  const OutputTensor tensor{"t", {4, 32}, format("Q8_0")};
  const Status refused = write_safetensors(Env::real(), temporary_path("blocks"), {&tensor, 1}, nullptr, nullptr);
  EXPECT_EQ(refused.code(), Code::unsupported);
  EXPECT_NE(refused.message().find("Q8_0"), std::string::npos);
}

}  // namespace
}  // namespace landfall
