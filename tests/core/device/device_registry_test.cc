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
  DeviceRegistry devices({.built = true});
  AddFake(devices, kCpuDevice);
  AddFake(devices, kCuda1);
  EXPECT_EQ((*devices.Find(kCpuDevice))->device(), kCpuDevice);
  EXPECT_EQ((*devices.Find(kCuda1))->device(), kCuda1);
  EXPECT_EQ(devices.backends().size(), 2);
}

TEST(DeviceRegistryTest, NamesTheDevicesThatAreThere) {
  DeviceRegistry devices({.built = true});
  AddFake(devices, kCpuDevice);
  AddFake(devices, kCuda1);
  const absl::Status status = devices.Find(kCuda0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorReason(status), reason::kDeviceNotPresent);
  EXPECT_EQ(std::string(status.message()),
            "CUDA error: invalid device ordinal; there is no device cuda:0; "
            "there are: cpu, cuda:1");
  EXPECT_TRUE(GetErrorDetails(status).violations.empty());
}

TEST(DeviceRegistryTest, SaysWhyThereAreNoCudaDevices) {
  DeviceRegistry devices(
      {.built = true, .unavailable = "No CUDA GPUs are available"});
  AddFake(devices, kCpuDevice);
  const absl::Status status = devices.Find(kCuda0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorReason(status), reason::kDeviceNotPresent);
  EXPECT_EQ(std::string(status.message()),
            "No CUDA GPUs are available; the devices are: cpu");
}

TEST(DeviceRegistryTest, SaysWhenTheBuildHasNoCuda) {
  DeviceRegistry devices;
  AddFake(devices, kCpuDevice);
  EXPECT_FALSE(devices.cuda().built);
  const absl::Status status = devices.Find(kCuda0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(GetErrorReason(status), reason::kCudaNotBuilt);
  EXPECT_EQ(std::string(status.message()),
            "tensord not compiled with CUDA enabled; its devices are: cpu");
}

}  // namespace
}  // namespace tensord
