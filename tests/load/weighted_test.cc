#include "tests/load/weighted.h"

#include <gtest/gtest.h>

#include <map>

namespace tensord::load {
namespace {

TEST(WeightedTest, PicksAsOftenAsWeightsSay) {
  auto dtypes = ParseDTypes("float32=3,int64");
  ASSERT_TRUE(dtypes.ok()) << dtypes.status();
  Random random(1);
  std::map<DType, int> counts;
  constexpr int kPicks = 20'000;
  for (int i = 0; i < kPicks; ++i) ++counts[dtypes->Pick(random)];
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_NEAR(counts[DType::kFloat32], 0.75 * kPicks, 0.02 * kPicks);
}

TEST(WeightedTest, ReadsSizes) {
  const auto sizes = ParseSizes("100=1,64KiB=2,3MiB");
  ASSERT_TRUE(sizes.ok()) << sizes.status();
  ASSERT_EQ(sizes->choices().size(), 3u);
  EXPECT_EQ(sizes->choices()[0].value, 100);
  EXPECT_EQ(sizes->choices()[1].value, 64 << 10);
  EXPECT_EQ(sizes->choices()[1].weight, 2);
  EXPECT_EQ(sizes->choices()[2].value, 3 << 20);
  EXPECT_TRUE(ParseSizes("1024MiB").ok());
}

TEST(WeightedTest, RefusesWhatHasNoMeaning) {
  for (const char* const text :
       {"", "=1", "4KiB=0", "4KiB=-1", "4KiB=", "4KiB=inf", "4KiB=nan", "0",
        "-4", "KiB", "4GiB", "1025MiB", "4KiB,", "9223372036854775807KiB"}) {
    EXPECT_EQ(ParseSizes(text).status().code(),
              absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_FALSE(ParseDTypes("float31").ok());
}

}  // namespace
}  // namespace tensord::load
