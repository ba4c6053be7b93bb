#include "tests/load/percentiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

namespace tensord::load {
namespace {

std::vector<std::int64_t> OneTo(std::int64_t count) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 1);
  return values;
}

TEST(PercentilesTest, HasNothingOfNothing) {
  const Percentiles none({});
  EXPECT_EQ(none.count(), 0u);
  EXPECT_EQ(none.At(50), 0);
  EXPECT_EQ(none.Max(), 0);
  EXPECT_EQ(none.Mean(), 0);
}

TEST(PercentilesTest, RanksAreExactThoughDoublesAreNot) {
  const Percentiles thousand(OneTo(1000));
  EXPECT_EQ(thousand.At(50), 500);
  EXPECT_EQ(thousand.At(99), 990);
  EXPECT_EQ(thousand.At(99.9), 999);
  EXPECT_EQ(thousand.At(99.91), 1000);
  const Percentiles more(OneTo(10'000));
  EXPECT_EQ(more.At(99.99), 9999);
}

// The definition, for samples of any number and order.
TEST(PercentilesTest, IsTheLeastSampleThatEnoughDoNotExceed) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::int64_t> samples(1 + random() % 200);
    for (std::int64_t& sample : samples) {
      sample = static_cast<std::int64_t>(random() % 50);
    }
    const Percentiles percentiles(samples);
    for (const double percent : {0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      const std::int64_t found = percentiles.At(percent);
      const auto at_most = [&](std::int64_t bound) {
        return static_cast<double>(
            std::count_if(samples.begin(), samples.end(),
                          [&](std::int64_t one) { return one <= bound; }));
      };
      const double needed =
          percent / 100 * static_cast<double>(samples.size()) - 1e-6;
      EXPECT_THAT(samples, ::testing::Contains(found));
      EXPECT_GE(at_most(found), needed);
      if (found != *std::min_element(samples.begin(), samples.end())) {
        EXPECT_LT(at_most(found - 1), needed);
      }
    }
  }
}

}  // namespace
}  // namespace tensord::load
