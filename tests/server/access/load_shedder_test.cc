#include "server/access/load_shedder.h"

#include <gtest/gtest.h>

namespace tensord {
namespace {

constexpr absl::Duration kLimit = absl::Milliseconds(50);

double ShareAt(absl::Duration delay, absl::Duration limit = kLimit) {
  LoadShedder shedder(limit);
  shedder.SetQueueDelay(delay);
  return shedder.share();
}

TEST(LoadShedderTest, RefusesNothingBelowTheLimit) {
  EXPECT_EQ(LoadShedder(kLimit).share(), 0);
  EXPECT_EQ(ShareAt(kLimit / 2), 0);
  EXPECT_EQ(ShareAt(kLimit), 0);
}

TEST(LoadShedderTest, RefusesMoreTheLongerCallsWait) {
  EXPECT_DOUBLE_EQ(ShareAt(1.25 * kLimit), LoadShedder::kMaxShare / 4);
  EXPECT_DOUBLE_EQ(ShareAt(1.5 * kLimit), LoadShedder::kMaxShare / 2);
}

TEST(LoadShedderTest, NeverRefusesMoreThanAFew) {
  EXPECT_DOUBLE_EQ(ShareAt(2 * kLimit), LoadShedder::kMaxShare);
  EXPECT_DOUBLE_EQ(ShareAt(absl::Hours(1)), LoadShedder::kMaxShare);
}

TEST(LoadShedderTest, WithoutALimitRefusesNothing) {
  EXPECT_EQ(ShareAt(absl::Hours(1), absl::ZeroDuration()), 0);
}

TEST(LoadShedderTest, RefusesItsShare) {
  LoadShedder shedder(kLimit);
  shedder.SetQueueDelay(2 * kLimit);
  constexpr int kCalls = 100'000;
  int refused = 0;
  for (int i = 0; i < kCalls; ++i) refused += shedder.Sheds() ? 1 : 0;
  // Seven standard deviations.
  EXPECT_NEAR(refused, kCalls * LoadShedder::kMaxShare, 500);
  shedder.SetQueueDelay(kLimit);
  for (int i = 0; i < kCalls; ++i) ASSERT_FALSE(shedder.Sheds());
}

TEST(LoadShedderTest, KnowsWhetherThereWereCalls) {
  LoadShedder shedder(kLimit);
  EXPECT_FALSE(shedder.TakeBusy());
  shedder.Sheds();
  shedder.Sheds();
  EXPECT_TRUE(shedder.TakeBusy());
  EXPECT_FALSE(shedder.TakeBusy());
}

}  // namespace
}  // namespace tensord
