#include "server/rpc/buffer_allocator.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "tests/server/rpc/service_fixture.h"

namespace tensord {
namespace {

// A CPU that has no memory to give.
class BrokenBackend final : public DeviceBackend {
 public:
  Device device() const override { return kCpuDevice; }
  std::string description() const override { return "broken"; }
  std::size_t memory_bytes() const override { return 1; }
  bool may_wait() const override { return false; }
  absl::Status health() const override { return absl::OkStatus(); }
  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(std::size_t) override {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     reason::kMemoryExhausted, "none");
  }
  PoolStats pool_stats() const override { return {}; }
  void Trim(absl::Duration) override {}
  std::unique_ptr<BufferWriter> NewWriter(std::shared_ptr<Buffer>, std::int64_t,
                                          const CastStream::Options&) override {
    return nullptr;
  }
  absl::Status ReadToHost(const BufferView&, std::int64_t, std::int64_t, DType,
                          ByteOrder, Overflow, std::byte*,
                          CastFailures*) override {
    return absl::OkStatus();
  }
  absl::Status Cast(const BufferView&, DType, Overflow, Buffer&, CastFailures*,
                    const IsCancelled&) override {
    return absl::OkStatus();
  }
  absl::Status CastFromPeer(DeviceBackend&, const BufferView&, DType, Overflow,
                            Buffer&, CastFailures*) override {
    return absl::OkStatus();
  }
  const std::byte* HostAddress(const Buffer&) const override { return nullptr; }
};

TEST(BufferAllocatorTest, ChargesUntilTheLastPointerGoes) {
  TestContext test;
  BufferAllocator allocator(test.devices, test.quotas, nullptr, 1000);
  auto buffer = allocator.Allocate(kCpuDevice, 600);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ((*buffer)->size_bytes(), 600U);
  std::shared_ptr<const Buffer> other = *buffer;
  buffer->reset();
  EXPECT_EQ(test.used_bytes(), 600);
  other.reset();
  EXPECT_EQ(test.used_bytes(), 0);
}

TEST(BufferAllocatorTest, BuffersOutliveIt) {
  TestContext test;
  auto allocator = std::make_unique<BufferAllocator>(test.devices, test.quotas,
                                                     nullptr, 1000);
  auto buffer = allocator->Allocate(kCpuDevice, 64);
  allocator.reset();
  EXPECT_EQ(test.used_bytes(), 64);
  buffer->reset();
  EXPECT_EQ(test.used_bytes(), 0);
}

TEST(BufferAllocatorTest, RefusesWhatIsTooMuch) {
  TestContext test;
  BufferAllocator allocator(test.devices, test.quotas, nullptr,
                            TestContext::kQuotaBytes + 1);
  EXPECT_EQ(GetErrorReason(
                allocator.Allocate(kCpuDevice, TestContext::kQuotaBytes + 2)
                    .status()),
            reason::kTensorTooLarge);
  EXPECT_EQ(GetErrorReason(
                allocator.Allocate(kCpuDevice, TestContext::kQuotaBytes + 1)
                    .status()),
            reason::kMemoryExhausted);
  EXPECT_EQ(
      GetErrorReason(allocator.Allocate({DeviceType::kCuda, 0}, 1).status()),
      reason::kCudaNotBuilt);
  EXPECT_EQ(test.used_bytes(), 0);
}

TEST(BufferAllocatorTest, GivesBackWhatADeviceCouldNotUse) {
  DeviceRegistry devices;
  devices.Add(std::make_unique<BrokenBackend>());
  DeviceQuotas quotas;
  quotas.Add(*devices.backends().front(), 1000);
  BufferAllocator allocator(devices, quotas, nullptr, 1000);
  EXPECT_FALSE(allocator.Allocate(kCpuDevice, 100).ok());
  EXPECT_EQ(quotas.Of(kCpuDevice).used_bytes(), 0);
}

TEST(BufferAllocatorTest, AsksForNoRoomWhereNoneIsEnough) {
  TestContext test;
  DeviceQuotas own_quotas;
  own_quotas.Add(**test.devices.Find(kCpuDevice), 1000);
  int asked = 0;
  BufferAllocator allocator(test.devices, test.quotas, &own_quotas, 1 << 20,
                            [&](Device) {
                              ++asked;
                              return false;
                            });
  EXPECT_FALSE(allocator.Allocate(kCpuDevice, 1001).ok());
  EXPECT_EQ(asked, 0);
  const auto buffer = allocator.Allocate(kCpuDevice, 1000);
  ASSERT_TRUE(buffer.ok());
  EXPECT_FALSE(allocator.Allocate(kCpuDevice, 1000).ok());
  EXPECT_EQ(asked, 1);
}

TEST(BufferAllocatorTest, DevicesHaveQuotasOfTheirOwn) {
  constexpr Device kCuda0{DeviceType::kCuda, 0};
  TestContext test({.built = true});
  test.AddFakeCuda(0, 1000);
  std::vector<Device> asked;
  BufferAllocator allocator(test.devices, test.quotas, nullptr, 1 << 20,
                            [&](Device device) {
                              asked.push_back(device);
                              return false;
                            });
  const auto buffer = allocator.Allocate(kCuda0, 600);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(test.used_bytes(kCuda0), 600);
  EXPECT_EQ(test.used_bytes(kCpuDevice), 0);
  EXPECT_EQ(GetErrorReason(allocator.Allocate(kCuda0, 401).status()),
            reason::kDeviceMemoryExhausted);
  EXPECT_EQ(asked, std::vector<Device>{kCuda0});
  EXPECT_TRUE(allocator.Allocate(kCpuDevice, 401).ok());
}

}  // namespace
}  // namespace tensord
