#include "core/store/quota.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"

namespace tensord {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

TEST(QuotaTest, GivesUpToTheLimitAndNotAByteMore) {
  Quota quota(100);
  EXPECT_EQ(quota.limit_bytes(), 100);
  const auto first = quota.Reserve(60);
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(quota.Reserve(41).ok());
  EXPECT_EQ(quota.used_bytes(), 60);
  const auto second = quota.Reserve(40);
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(quota.Reserve(1).ok());
  EXPECT_TRUE(quota.Reserve(0).ok());
  EXPECT_EQ(quota.used_bytes(), 100);
}

TEST(QuotaTest, TakesBackWhenTheLastCopyGoes) {
  Quota quota(100);
  auto first = quota.Reserve(100);
  ASSERT_TRUE(first.ok());
  std::shared_ptr<void> second = *first;
  *first = nullptr;
  EXPECT_EQ(quota.used_bytes(), 100);
  second.reset();
  EXPECT_EQ(quota.used_bytes(), 0);
}

TEST(QuotaTest, SaysWhyItRefuses) {
  Quota quota(100);
  const auto held = quota.Reserve(70);
  const absl::Status status = quota.Reserve(31).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(status.message()),
            "memory limit reached: 31 bytes asked for, 70 of 100 bytes in use");
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, reason::kMemoryExhausted);
  EXPECT_EQ(details.metadata.at("limitBytes"), "100");
  EXPECT_EQ(details.metadata.at("usedBytes"), "70");
  EXPECT_EQ(details.metadata.at("requestedBytes"), "31");
}

TEST(QuotaTest, DoesNotOverflow) {
  Quota quota(kMax);
  const auto all_but_one = quota.Reserve(kMax - 1);
  ASSERT_TRUE(all_but_one.ok());
  EXPECT_FALSE(quota.Reserve(kMax).ok());
  EXPECT_FALSE(quota.Reserve(2).ok());
  EXPECT_TRUE(quota.Reserve(1).ok());
}

TEST(QuotaTest, LetsNothingThroughWithoutALimit) {
  for (const std::int64_t limit : {std::int64_t{0}, std::int64_t{-1}}) {
    Quota quota(limit);
    EXPECT_FALSE(quota.Reserve(1).ok());
    EXPECT_TRUE(quota.Reserve(0).ok());
  }
}

TEST(QuotaTest, ReservationsOutliveIt) {
  std::optional<Quota> quota(100);
  auto held = quota->Reserve(50);
  quota.reset();
  *held = nullptr;
}

TEST(QuotaTest, IsExactUnderManyThreads) {
  constexpr std::int64_t kLimit = 1000;
  Quota quota(kLimit);
  std::atomic<std::int64_t> held_bytes{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(t);
        for (int i = 0; i < 2000; ++i) {
          const auto size = static_cast<std::int64_t>(random() % 600);
          auto reservation = quota.Reserve(size);
          if (!reservation.ok()) continue;
          EXPECT_LE(held_bytes += size, kLimit);
          held_bytes -= size;
        }
      });
    }
  }
  EXPECT_EQ(quota.used_bytes(), 0);
}

}  // namespace
}  // namespace tensord
