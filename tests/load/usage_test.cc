#include "tests/load/usage.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/load/noise.h"
#include "tests/temp_folder.h"

namespace tensord::load {
namespace {

void Burn(std::int64_t nanos) {
  const std::int64_t until = NowNanos() + nanos;
  while (NowNanos() < until) {
  }
}

TEST(UsageTest, CountsWhatThisProcessTakes) {
  const auto before = UsageOf(getpid());
  ASSERT_TRUE(before.has_value());
  EXPECT_GT(before->resident_bytes, 1 << 20);
  const double thread_before = ThreadCpuSeconds().at(gettid());
  // However busy the machine is, some of it is this thread's.
  for (int i = 0;
       i < 1000 && UsageOf(getpid())->cpu_seconds < before->cpu_seconds + 0.05;
       ++i) {
    Burn(10'000'000);
  }
  EXPECT_GE(UsageOf(getpid())->cpu_seconds, before->cpu_seconds + 0.05);
  EXPECT_GT(ThreadCpuSeconds().at(gettid()), thread_before + 0.02);
}

TEST(UsageTest, HasNothingOfAProcessThatIsNotThere) {
  // Above the highest id that Linux gives.
  EXPECT_FALSE(UsageOf(1 << 23).has_value());
}

TEST(UsageTest, AllowsAProcessorAtLeast) {
  EXPECT_GT(AllowedCpus(), 0);
  EXPECT_LE(AllowedCpus(), static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)));
}

TEST(UsageTest, ProcessorTimeGoesOnWhereAServerIsStartedAnew) {
  const TempFolder folder;
  const std::string file = folder / "pid";
  const auto write = [&](pid_t pid) { std::ofstream(file) << pid; };
  ServerUsage server(0, file);
  EXPECT_FALSE(server.Read().has_value());
  write(getpid());
  const auto first = server.Read();
  ASSERT_TRUE(first.has_value());
  // None, then another, which has taken something as well.
  write(1 << 23);
  EXPECT_EQ(server.Read()->cpu_seconds, first->cpu_seconds);
  write(getpid());
  EXPECT_GE(server.Read()->cpu_seconds, 2 * first->cpu_seconds);
}

TEST(NoiseMeterTest, MissesNoDeadline) {
  NoiseMeter meter;
  SleepUntil(NowNanos() + 30 * NoiseMeter::kPeriodNanos);
  const auto& samples = meter.Stop();
  ASSERT_GE(samples.size(), 10u);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    EXPECT_GE(samples[i].late_ns, 0);
    if (i == 0) continue;
    EXPECT_EQ(samples[i].due_ns - samples[i - 1].due_ns,
              NoiseMeter::kPeriodNanos);
  }
}

}  // namespace
}  // namespace tensord::load
