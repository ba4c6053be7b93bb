#include "tests/load/saturation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tensord::load {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

SenderHealth Healthy() {
  return {.planned = 1000,
          .not_sent = 0,
          .median_lag_ns = 50'000,
          .p99_lag_ns = 1'000'000,
          .busiest_thread = 0.5,
          .process = 1.5,
          .allowed_cpus = 2};
}

std::vector<std::string> Why(const SenderHealth& health) {
  return WhySaturated(health, SaturationLimits{});
}

TEST(SaturationTest, KeepingUpIsNoReason) {
  EXPECT_THAT(Why(Healthy()), IsEmpty());
}

TEST(SaturationTest, EveryLimitIsAReason) {
  SenderHealth health = Healthy();
  health.not_sent = 3;
  EXPECT_THAT(Why(health), ElementsAre(HasSubstr("3 of 1000 calls")));
  health = Healthy();
  health.median_lag_ns = 2'500'000;
  EXPECT_THAT(Why(health), ElementsAre(HasSubstr("half of the calls")));
  health = Healthy();
  health.p99_lag_ns = 60'000'000;
  EXPECT_THAT(Why(health), ElementsAre(HasSubstr("60.0 ms late")));
  health = Healthy();
  health.busiest_thread = 0.97;
  EXPECT_THAT(Why(health), ElementsAre(HasSubstr("busy for 97 %")));
  health = Healthy();
  health.process = 1.95;
  EXPECT_THAT(Why(health), ElementsAre(HasSubstr("1.95 of the 2.00")));
}

TEST(SaturationTest, AllReasonsAreTold) {
  SenderHealth health = Healthy();
  health.not_sent = 1;
  health.process = 2;
  EXPECT_EQ(Why(health).size(), 2u);
}

}  // namespace
}  // namespace tensord::load
