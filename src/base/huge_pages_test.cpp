#include "base/huge_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

namespace landfall {
namespace {

// Cut from a real /proc/self/smaps.
constexpr std::string_view kSmaps =
    "5581a000-5581b000 r-xp 00001000 fe:00 1234                       /usr/bin/landfall\n"
    "Size:                  4 kB\nKernelPageSize:        4 kB\nRss:                   4 kB\n"
    "AnonHugePages:         0 kB\nFilePmdMapped:         0 kB\n"
    "7f1000000000-7f1040000000 rw-p 00000000 00:00 0 \n"
    "Size:            1048576 kB\nKernelPageSize:        4 kB\nRss:             1000000 kB\n"
    "AnonHugePages:    819200 kB\nFilePmdMapped:         0 kB\nVmFlags: rd wr mr mw me ac hg\n"
    "7f1050000000-7f1050001000 rw-p 00000000 00:00 0 \n"
    "Size:                  4 kB\nRss:                   4 kB\nAnonHugePages:         0 kB\nFilePmdMapped:         0 "
    "kB\n"
    "7f1060000000-7f1070000000 r--p 00000000 fe:00 77                 /models/my model.gguf\n"
    "Size:             262144 kB\nRss:              131072 kB\nAnonHugePages:         0 kB\n"
    "FilePmdMapped:     65536 kB\n"
    "7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                  [stack]\n"
    "Size:                132 kB\nRss:                  20 kB\nAnonHugePages:         0 kB\nFilePmdMapped:         0 "
    "kB\n";

TEST(HugePages, AreReadPerKindOfMapping) {
  const PagesInUse pages = read_smaps(kSmaps, "/models/my model.gguf");
  EXPECT_EQ(pages.anonymous.resident, int64_t{1000000} << 10);
  EXPECT_EQ(pages.anonymous.huge, int64_t{819200} << 10);
  EXPECT_EQ(pages.file.resident, int64_t{131072} << 10);
  EXPECT_EQ(pages.file.huge, int64_t{65536} << 10);
  EXPECT_EQ(pages.file.share(), 0.5);
  EXPECT_EQ(read_smaps(kSmaps, "/models/other.gguf").file.resident, 0);
  EXPECT_EQ(read_smaps(kSmaps, "").file.resident, 0);
  EXPECT_EQ(read_smaps("", "").anonymous.share(), 0);
  for (size_t cut = 0; cut < kSmaps.size(); ++cut) (void)read_smaps(kSmaps.substr(0, cut), "/models/my model.gguf");
}

TEST(HugePages, MemoryThatWasTouchedIsResident) {
  constexpr size_t kBytes = size_t{16} << 20;
  void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const int64_t before = pages_in_use(Env::real()).anonymous.resident;
  std::memset(memory, 1, kBytes);
  const PagesInUse after = pages_in_use(Env::real());
  EXPECT_GE(after.anonymous.resident, before + static_cast<int64_t>(kBytes));
  EXPECT_LE(after.anonymous.huge, after.anonymous.resident);
  ::munmap(memory, kBytes);
}

}  // namespace
}  // namespace landfall
