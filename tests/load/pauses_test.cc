#include "tests/load/pauses.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace tensord::load {
namespace {

constexpr std::int64_t kMilli = 1'000'000;

TEST(PausesTest, WithoutPausesNobodyWaits) {
  EXPECT_EQ(Pauses{}.WaitAt(99.9), 0);
  EXPECT_EQ((Pauses{.watched_ns = 1000 * kMilli, .lengths_ns = {}}.WaitAt(50)),
            0);
}

TEST(PausesTest, OfAThousandOneComesInAPause) {
  // 4 ms of a second: for longer than 3 ms wait those who come in the first
  // millisecond.
  const Pauses pauses{.watched_ns = 1000 * kMilli, .lengths_ns = {4 * kMilli}};
  EXPECT_NEAR(pauses.WaitAt(99.9), 3 * kMilli, 1);
  EXPECT_EQ(pauses.WaitAt(99), 0);
  EXPECT_NEAR(pauses.WaitAt(100), 4 * kMilli, 1);
}

TEST(PausesTest, IsWhatManyWouldSee) {
  std::mt19937_64 random(1);
  Pauses pauses{.watched_ns = 0, .lengths_ns = {}};
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 200; ++i) {
    const auto length = static_cast<std::int64_t>(random() % (5 * kMilli));
    const auto quiet = static_cast<std::int64_t>(random() % (100 * kMilli));
    pauses.lengths_ns.push_back(length);
    pauses.watched_ns += length + quiet;
    // Who comes every 10 us.
    for (std::int64_t at = 0; at < quiet; at += 10'000) waits.push_back(0);
    for (std::int64_t at = 0; at < length; at += 10'000) {
      waits.push_back(length - at);
    }
  }
  std::sort(waits.begin(), waits.end());
  for (const double percent : {50.0, 96.0, 99.0, 99.9}) {
    const auto rank = static_cast<std::size_t>(
        static_cast<double>(waits.size() - 1) * percent / 100);
    EXPECT_NEAR(pauses.WaitAt(percent), static_cast<double>(waits[rank]),
                0.05 * kMilli)
        << percent;
  }
}

TEST(PausesTest, WatchesEveryProcessor) {
  const Pauses pauses = FindPauses(absl::Milliseconds(50));
  EXPECT_GE(pauses.watched_ns, 50 * kMilli);
  for (const std::int64_t length : pauses.lengths_ns) {
    EXPECT_GE(length, 50'000);
  }
  EXPECT_GE(pauses.WaitAt(100), pauses.WaitAt(99));
}

}  // namespace
}  // namespace tensord::load
