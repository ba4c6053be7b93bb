#include "core/device/out_of_service.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>

#include "core/device/cpu_backend.h"
#include "core/error.h"
#include "tests/core/device/fake_backend.h"

namespace tensord {
namespace {

TEST(OutOfServiceBackendTest, IsThereAndRefusesEverything) {
  const auto memory = NewCpuBackend({});
  const std::shared_ptr<Buffer> buffer = *memory->Allocate(8);
  std::unique_ptr<DeviceBackend> device;
  std::size_t memory_bytes = 0;
  {
    const FakeBackend failed(Device{DeviceType::kCuda, 1},
                             std::make_shared<FaultPlan>());
    memory_bytes = failed.memory_bytes();
    device = NewOutOfServiceBackend(failed, absl::InternalError("it fell"));
  }
  EXPECT_EQ(device->device(), (Device{DeviceType::kCuda, 1}));
  EXPECT_EQ(device->description(), "fake");
  EXPECT_EQ(device->memory_bytes(), memory_bytes);
  EXPECT_FALSE(device->may_wait());
  EXPECT_EQ(device->pool_stats().reserved_bytes, 0u);
  EXPECT_EQ(device->HostAddress(*buffer), nullptr);
  device->Trim(absl::ZeroDuration());

  const BufferView view{.buffer = buffer,
                        .dtype = DType::kUInt8,
                        .layout = {.shape = {8}, .strides = {1}}};
  CastStream::Options copy;
  copy.from = DType::kUInt8;
  copy.to = DType::kUInt8;
  const auto writer = device->NewWriter(buffer, 0, copy);
  std::byte element{};
  CastFailures failures;
  for (const absl::Status& status :
       {device->health(), device->Allocate(1).status(),
        writer->Write({&element, 1}), writer->Flush(),
        writer->Finish(&failures),
        device->ReadToHost(view, 0, 1, DType::kUInt8, ByteOrder::kLittle,
                           Overflow::kTorch, &element, &failures),
        device->Cast(view, DType::kUInt8, Overflow::kTorch, *buffer, &failures,
                     {}),
        device->CastFromPeer(*memory, view, DType::kUInt8, Overflow::kTorch,
                             *buffer, &failures)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(GetErrorReason(status), reason::kDeviceOutOfService);
    EXPECT_EQ(std::string(status.message()),
              "cuda:1 is out of service, since it fell");
  }
}

}  // namespace
}  // namespace tensord
