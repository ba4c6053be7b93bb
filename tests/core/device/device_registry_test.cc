#include "core/device/device_registry.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/error.h"
#include "tests/core/device/fake_backend.h"

namespace tensord {
namespace {

constexpr Device kCuda0{DeviceType::kCuda, 0};
constexpr Device kCuda1{DeviceType::kCuda, 1};

void AddFake(DeviceRegistry& devices, Device device) {
  devices.Add(
      std::make_unique<FakeBackend>(device, std::make_shared<FaultPlan>()));
}

TEST(DeviceRegistryTest, FindsWhatWasAdded) {
  DeviceRegistry devices(true);
  AddFake(devices, kCpuDevice);
  AddFake(devices, kCuda1);
  EXPECT_EQ((*devices.Find(kCpuDevice))->device(), kCpuDevice);
  EXPECT_EQ((*devices.Find(kCuda1))->device(), kCuda1);
  EXPECT_EQ(devices.backends().size(), 2);
}

TEST(DeviceRegistryTest, NamesTheDevicesThatAreThere) {
  DeviceRegistry devices(true);
  AddFake(devices, kCpuDevice);
  AddFake(devices, kCuda1);
  const absl::Status status = devices.Find(kCuda0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorReason(status), reason::kDeviceNotPresent);
  EXPECT_EQ(std::string(status.message()),
            "there is no device cuda:0; there are: cpu, cuda:1");
  EXPECT_TRUE(GetErrorDetails(status).violations.empty());
}

TEST(DeviceRegistryTest, SaysWhenTheBuildHasNoCuda) {
  DeviceRegistry devices(false);
  AddFake(devices, kCpuDevice);
  EXPECT_FALSE(devices.cuda_built());
  const absl::Status status = devices.Find(kCuda0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(GetErrorReason(status), reason::kCudaNotBuilt);
  EXPECT_EQ(std::string(status.message()),
            "cuda:0: this server was built without CUDA; its devices are: cpu");
}

}  // namespace
}  // namespace tensord
