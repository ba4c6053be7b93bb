#include "tests/load/arrivals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace tensord::load {
namespace {

std::vector<Arrival> Plan(const std::vector<Segment>& segments,
                          ArrivalProcess process, std::uint64_t seed = 1) {
  Random random(seed);
  return PlanArrivals(segments, process, random);
}

std::vector<double> Gaps(const std::vector<Arrival>& arrivals) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < arrivals.size(); ++i) {
    gaps.push_back(
        static_cast<double>(arrivals[i].time_ns - arrivals[i - 1].time_ns) *
        1e-9);
  }
  return gaps;
}

TEST(ArrivalsTest, ParsesSegments) {
  const auto segments = ParseSegments("2000x5,0.5x2.5");
  ASSERT_TRUE(segments.ok()) << segments.status();
  ASSERT_EQ(segments->size(), 2u);
  EXPECT_EQ((*segments)[0].rate, 2000);
  EXPECT_EQ((*segments)[0].seconds, 5);
  EXPECT_EQ((*segments)[1].rate, 0.5);
  EXPECT_EQ((*segments)[1].seconds, 2.5);
}

TEST(ArrivalsTest, RefusesWhatIsNoSegment) {
  for (const char* const text :
       {"", "100", "100x", "x5", "100x5x5", "0x5", "5x0", "-1x5", "nanx5",
        "infx5", "5xinf", "100x5,", "1e9x1", "six"}) {
    EXPECT_EQ(ParseSegments(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(ArrivalsTest, FixedOnesAreAtEqualDistancesToTheEnd) {
  const auto arrivals =
      Plan({{.rate = 300, .seconds = 7}}, ArrivalProcess::kFixed);
  ASSERT_EQ(arrivals.size(), 2100u);
  EXPECT_EQ(arrivals.front().time_ns, 0);
  for (const double gap : Gaps(arrivals)) EXPECT_NEAR(gap, 1.0 / 300, 2e-9);
}

// Mean and deviation of the gaps are those of the exponential distribution, and
// its share of gaps beyond the mean is 1 / e.
TEST(ArrivalsTest, PoissonOnesHaveExponentialGaps) {
  const auto arrivals =
      Plan({{.rate = 1000, .seconds = 100}}, ArrivalProcess::kPoisson);
  const std::vector<double> gaps = Gaps(arrivals);
  const auto count = static_cast<double>(gaps.size());
  double sum = 0;
  double squares = 0;
  for (const double gap : gaps) {
    sum += gap;
    squares += gap * gap;
  }
  const double mean = sum / count;
  EXPECT_NEAR(count, 1e5, 2e3);
  EXPECT_NEAR(mean, 1e-3, 2e-5);
  EXPECT_NEAR(std::sqrt(squares / count - mean * mean), 1e-3, 3e-5);
  const auto beyond = static_cast<double>(std::count_if(
      gaps.begin(), gaps.end(), [&](double gap) { return gap > mean; }));
  EXPECT_NEAR(beyond / count, std::exp(-1), 0.01);
}

TEST(ArrivalsTest, SegmentsFollowEachOther) {
  const std::vector<Segment> segments = {{.rate = 500, .seconds = 2},
                                         {.rate = 4000, .seconds = 0.5},
                                         {.rate = 100, .seconds = 3}};
  for (const auto process :
       {ArrivalProcess::kPoisson, ArrivalProcess::kFixed}) {
    const auto arrivals = Plan(segments, process);
    std::vector<int> counts(segments.size());
    std::int64_t before = 0;
    for (const Arrival& arrival : arrivals) {
      EXPECT_GE(arrival.time_ns, before);
      before = arrival.time_ns;
      ++counts[arrival.segment];
      const double at = static_cast<double>(arrival.time_ns) * 1e-9;
      const std::size_t expected = at < 2 ? 0 : at < 2.5 ? 1 : 2;
      EXPECT_EQ(arrival.segment, expected) << at;
    }
    EXPECT_NEAR(counts[0], 1000, 150);
    EXPECT_NEAR(counts[1], 2000, 200);
    EXPECT_NEAR(counts[2], 300, 80);
  }
}

TEST(ArrivalsTest, SeedsSayEverything) {
  const std::vector<Segment> segments = {{.rate = 1000, .seconds = 1}};
  const auto times = [&](std::uint64_t seed) {
    std::vector<std::int64_t> found;
    for (const Arrival& one : Plan(segments, ArrivalProcess::kPoisson, seed)) {
      found.push_back(one.time_ns);
    }
    return found;
  };
  EXPECT_EQ(times(3), times(3));
  EXPECT_NE(times(3), times(4));
}

TEST(ArrivalsTest, KnowsItsProcesses) {
  EXPECT_EQ(*ParseArrivalProcess("poisson"), ArrivalProcess::kPoisson);
  EXPECT_EQ(*ParseArrivalProcess("fixed"), ArrivalProcess::kFixed);
  EXPECT_FALSE(ParseArrivalProcess("bursts").ok());
}

}  // namespace
}  // namespace tensord::load
