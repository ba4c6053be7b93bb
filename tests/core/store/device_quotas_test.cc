#include "core/store/device_quotas.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "core/error.h"
#include "tests/core/device/fake_backend.h"

namespace tensord {
namespace {

constexpr Device kCuda1{DeviceType::kCuda, 1};

class DeviceQuotasTest : public testing::Test {
 protected:
  DeviceQuotasTest() {
    quotas_.Add(*NewCpuBackend({}), 100);
    quotas_.Add(FakeBackend(kCuda1, std::make_shared<FaultPlan>()), 4096);
  }

  DeviceQuotas quotas_;
};

TEST_F(DeviceQuotasTest, CountsEachDeviceForItself) {
  const auto cpu = quotas_.Reserve(kCpuDevice, 60);
  const auto cuda = quotas_.Reserve(kCuda1, 4000);
  ASSERT_TRUE(cpu.ok());
  ASSERT_TRUE(cuda.ok());
  EXPECT_EQ(quotas_.Of(kCpuDevice).used_bytes(), 60);
  EXPECT_EQ(quotas_.Of(kCuda1).used_bytes(), 4000);
  EXPECT_EQ(quotas_.Of(kCuda1).limit_bytes(), 4096);
}

TEST_F(DeviceQuotasTest, TheCpuRefusesAsItsQuotaDoes) {
  const absl::Status status = quotas_.Reserve(kCpuDevice, 101).status();
  EXPECT_EQ(GetErrorReason(status), reason::kMemoryExhausted);
  EXPECT_EQ(std::string(status.message()),
            "memory limit reached: 101 bytes asked for, 0 of 100 bytes in use");
}

TEST_F(DeviceQuotasTest, AGpuRefusesAsTorchDoes) {
  const auto held = quotas_.Reserve(kCuda1, 1024);
  const absl::Status status = quotas_.Reserve(kCuda1, 4000).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  const std::string message(status.message());
  EXPECT_TRUE(absl::StartsWith(message,
                               "CUDA out of memory. Tried to allocate 3.91 "
                               "KiB. GPU 1 has a total capacity of "))
      << message;
  EXPECT_TRUE(absl::EndsWith(message,
                             " of which 3.00 KiB is free. The memory limit is "
                             "4096 bytes, 1024 of them in use."))
      << message;
  const ErrorDetails details = GetErrorDetails(status);
  EXPECT_EQ(details.reason, reason::kDeviceMemoryExhausted);
  EXPECT_EQ(details.metadata.at("limitBytes"), "4096");
  EXPECT_EQ(details.metadata.at("usedBytes"), "1024");
  EXPECT_EQ(details.metadata.at("requestedBytes"), "4000");
  EXPECT_EQ(quotas_.Of(kCuda1).used_bytes(), 1024);
}

}  // namespace
}  // namespace tensord
