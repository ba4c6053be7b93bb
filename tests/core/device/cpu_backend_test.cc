#include "core/device/cpu_backend.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/conformance/device_conformance.h"

namespace tensord {
namespace {

INSTANTIATE_TEST_SUITE_P(Cpu, DeviceConformanceTest,
                         testing::Values(BackendFactory([] {
                           return NewCpuBackend({});
                         })));

TEST(CpuBackendTest, IsTheCpu) {
  EXPECT_EQ(NewCpuBackend({})->device(), kCpuDevice);
}

TEST(CpuBackendTest, WritesStraightIntoTheBuffer) {
  const auto backend = NewCpuBackend({});
  const std::shared_ptr<Buffer> buffer = *backend->Allocate(4);
  const auto writer =
      backend->NewWriter(buffer, {.from = DType::kUInt8, .to = DType::kUInt8});
  const std::vector<std::byte> piece = {std::byte{1}, std::byte{2}};
  ASSERT_TRUE(writer->Write(piece).ok());
  EXPECT_EQ(buffer->data()[1], std::byte{2});
}

TEST(CpuBackendTest, ShowsTheHostEveryBuffer) {
  const auto backend = NewCpuBackend({});
  const std::shared_ptr<Buffer> buffer = *backend->Allocate(4);
  EXPECT_EQ(backend->HostAddress(*buffer), buffer->data());
}

TEST(CpuBackendTest, BuffersOutliveTheBackend) {
  auto backend = NewCpuBackend({});
  const std::shared_ptr<Buffer> buffer = *backend->Allocate(1000);
  backend.reset();
  buffer->data()[999] = std::byte{1};
}

}  // namespace
}  // namespace tensord
