#include "server/rpc/device_threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/core/device/fake_backend.h"

namespace tensord {
namespace {

constexpr Device kCuda0{DeviceType::kCuda, 0};
constexpr Device kCuda1{DeviceType::kCuda, 1};
constexpr absl::Duration kPatience = absl::Seconds(20);

class DeviceThreadsTest : public testing::Test {
 protected:
  DeviceThreadsTest() {
    for (const Device device : {kCpuDevice, kCuda0, kCuda1}) {
      devices_.Add(
          std::make_unique<FakeBackend>(device, std::make_shared<FaultPlan>()));
    }
  }

  DeviceRegistry devices_{{.built = true}};
};

TEST_F(DeviceThreadsTest, OnlyDevicesThatMayWaitNeedThem) {
  EXPECT_EQ(WaitsFor(devices_, kCpuDevice), std::nullopt);
  EXPECT_EQ(WaitsFor(devices_, kCuda1), kCuda1);
  EXPECT_EQ(WaitsFor(devices_, Device{DeviceType::kCuda, 2}), std::nullopt);
  const auto named = [&](const char* name) {
    return WaitsFor(devices_, std::string(name));
  };
  EXPECT_EQ(named("cuda"), kCuda0);
  EXPECT_EQ(named("cuda:1"), kCuda1);
  for (const char* const other : {"", "cpu", "cuda:2", "gpu", "cuda:x"}) {
    EXPECT_EQ(named(other), std::nullopt) << other;
  }
}

TEST_F(DeviceThreadsTest, ADeviceThatWaitsHoldsUpNoOther) {
  Gate gate;
  gate.Close();
  std::atomic<int> done = 0;
  {
    DeviceThreads threads(devices_);
    for (int i = 0; i < 3 * DeviceThreads::kThreadsPerDevice; ++i) {
      ASSERT_TRUE(threads
                      .Post(kCuda0,
                            [&] {
                              gate.Pass();
                              ++done;
                            })
                      .ok());
    }
    absl::Notification other;
    ASSERT_TRUE(threads.Post(kCuda1, [&] { other.Notify(); }).ok());
    EXPECT_TRUE(other.WaitForNotificationWithTimeout(kPatience));
    const absl::Time end = absl::Now() + kPatience;
    while (gate.waiting() < DeviceThreads::kThreadsPerDevice &&
           absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_EQ(gate.waiting(), DeviceThreads::kThreadsPerDevice);
    EXPECT_EQ(done, 0);
    gate.Open();
  }
  EXPECT_EQ(done, 3 * DeviceThreads::kThreadsPerDevice);
}

}  // namespace
}  // namespace tensord
