#include "server/memory_size.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/temp_folder.h"

namespace tensord {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

TEST(ParseMemorySizeTest, ReadsEveryUnit) {
  struct Unit {
    std::vector<std::string> names;
    std::int64_t bytes;
  };
  const std::vector<Unit> units = {
      {{"", "B"}, 1},
      {{"K", "KB", "k", "kb"}, 1'000},
      {{"M", "MB", "m"}, 1'000'000},
      {{"G", "GB", "g"}, 1'000'000'000},
      {{"T", "TB"}, 1'000'000'000'000},
      {{"KiB", "Ki", "kib"}, std::int64_t{1} << 10},
      {{"MiB", "Mi"}, std::int64_t{1} << 20},
      {{"GiB", "Gi"}, std::int64_t{1} << 30},
      {{"TiB", "Ti"}, std::int64_t{1} << 40}};
  for (const Unit& unit : units) {
    for (const std::string& name : unit.names) {
      for (const std::int64_t count :
           {std::int64_t{1}, std::int64_t{1023}, kMax / unit.bytes}) {
        for (const char* space : {"", " "}) {
          const std::string text = std::to_string(count) + space + name;
          const auto size = ParseMemorySize(text);
          ASSERT_TRUE(size.ok()) << size.status();
          EXPECT_EQ(size->value, count * unit.bytes) << text;
          EXPECT_FALSE(size->is_percent);
        }
      }
      if (unit.bytes == 1) continue;
      const std::string beyond = std::to_string(kMax / unit.bytes + 1) + name;
      EXPECT_FALSE(ParseMemorySize(beyond).ok()) << beyond;
    }
  }
}

TEST(ParseMemorySizeTest, ReadsPercentages) {
  for (int percent = 1; percent <= 100; ++percent) {
    const auto size = ParseMemorySize(std::to_string(percent) + "%");
    ASSERT_TRUE(size.ok());
    EXPECT_EQ(*size, (MemorySize{.value = percent, .is_percent = true}));
  }
}

TEST(ParseMemorySizeTest, ReadsBackWhatItWrites) {
  for (const MemorySize size : {MemorySize{.value = 1, .is_percent = false},
                                MemorySize{.value = kMax, .is_percent = false},
                                MemorySize{.value = 75, .is_percent = true}}) {
    const auto again = ParseMemorySize(MemorySizeString(size));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(*again, size);
  }
}

TEST(ParseMemorySizeTest, RefusesWhatIsNoSize) {
  for (const std::string text : {"",
                                 " ",
                                 "G",
                                 "-1",
                                 "+1",
                                 "0",
                                 "0%",
                                 "101%",
                                 "1.5G",
                                 "1e9",
                                 "0x10",
                                 "1 0",
                                 "1  G",
                                 "1Gb/s",
                                 "1GBB",
                                 "1iB",
                                 "1P",
                                 "%",
                                 "9223372036854775808",
                                 "1\n"}) {
    const auto size = ParseMemorySize(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_EQ(size.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(ToBytesTest, TakesAShareWithoutOverflow) {
  const auto share = [](std::int64_t percent, std::int64_t total) {
    return ToBytes({.value = percent, .is_percent = true}, total);
  };
  EXPECT_EQ(share(75, 1000), 750);
  EXPECT_EQ(share(100, kMax), kMax);
  EXPECT_EQ(share(50, 199), 99);
  EXPECT_EQ(share(1, 1), 1);
  EXPECT_EQ(ToBytes({.value = 12, .is_percent = false}, 1000), 12);
}

// A /proc and /sys of its own.
class TotalMemoryTest : public ::testing::Test {
 protected:
  TotalMemoryTest() {
    Write("proc/meminfo",
          "MemTotal:       8000000 kB\nMemFree:         100 kB\n");
  }

  void Write(const std::string& file, const std::string& content) {
    const std::filesystem::path path = folder_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << content;
  }

  TempFolder folder_;
  const std::filesystem::path root_ = folder_ / "";
  static constexpr std::int64_t kMachine = 8'000'000LL * 1024;
};

TEST_F(TotalMemoryTest, IsTheMachineWithoutGroups) {
  EXPECT_EQ(TotalMemoryBytes(root_), kMachine);
}

TEST_F(TotalMemoryTest, IsTheLeastOfTheGroupsAbove) {
  Write("proc/self/cgroup", "0::/a.slice/b.service\n");
  Write("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
  EXPECT_EQ(TotalMemoryBytes(root_), kMachine);
  Write("sys/fs/cgroup/a.slice/memory.max", "2000000000\n");
  EXPECT_EQ(TotalMemoryBytes(root_), 2'000'000'000);
  Write("sys/fs/cgroup/a.slice/b.service/memory.max", "1000000000\n");
  EXPECT_EQ(TotalMemoryBytes(root_), 1'000'000'000);
}

TEST_F(TotalMemoryTest, FindsTheGroupOfAContainer) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "536870912\n");
  EXPECT_EQ(TotalMemoryBytes(root_), 536870912);
}

TEST_F(TotalMemoryTest, FindsGroupsOfVersion1) {
  Write("proc/self/cgroup",
        "5:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/docker/1\n");
  Write("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "1000000000\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(TotalMemoryBytes(root_), 1'000'000'000);
}

TEST_F(TotalMemoryTest, IgnoresLimitsAboveTheMachine) {
  Write("proc/self/cgroup", "0::/\n");
  Write("sys/fs/cgroup/memory.max", "9000000000000\n");
  EXPECT_EQ(TotalMemoryBytes(root_), kMachine);
}

TEST(TotalMemoryBytesTest, KnowsThisMachine) {
  EXPECT_GT(TotalMemoryBytes(), std::int64_t{16} << 20);
  EXPECT_LT(TotalMemoryBytes(), std::int64_t{1} << 50);
}

}  // namespace
}  // namespace tensord
