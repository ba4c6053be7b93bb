#include "client/cpp/src/meter.h"

#include <gtest/gtest.h>

namespace tensord::client {
namespace {

TEST(MeterTest, CountsBothWaysOfACall) {
  ByteCounts counts;
  Meter sent(&counts, 0, 100);
  Meter received(&counts, 50, 80);
  EXPECT_EQ(counts.total, 130);
  sent.Reach(10);
  received.Reach(80);
  sent.Reach(100);
  EXPECT_EQ(counts.done, 130);
  Count(&counts, 7);
  EXPECT_EQ(counts.done, 137);
  EXPECT_EQ(counts.total, 137);
}

TEST(MeterTest, TakesBackWhatHasToTravelAgain) {
  ByteCounts counts;
  Meter meter(&counts, 0, 100);
  meter.Reach(60);
  meter.Reach(20);
  EXPECT_EQ(counts.done, 20);
}

TEST(MeterTest, CountsNothingWhereNobodyAsks) {
  Meter meter(nullptr, 0, 100);
  meter.Reach(60);
  Count(nullptr, 7);
}

}  // namespace
}  // namespace tensord::client
