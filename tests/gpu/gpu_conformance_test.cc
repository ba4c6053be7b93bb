#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "core/device/cuda/find_cuda_devices.h"
#include "tests/conformance/device_conformance.h"

namespace tensord {
namespace {

INSTANTIATE_TEST_SUITE_P(Cuda, DeviceConformanceTest,
                         ::testing::Values(BackendFactory([] {
                           return std::move(FindCudaDevices().backends.front());
                         })));

// From each device to each other, as they are and in other dtypes.
TEST(GpuPeerTest, DevicesReadEachOther) {
  const CudaDevices devices = FindCudaDevices();
  if (devices.backends.size() < 2) GTEST_SKIP() << "there is one device";
  constexpr std::int64_t kCount = 5'000'000;
  std::vector<float> values(kCount);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i) * 0.37F - 1000.0F;
  }
  const absl::Span<const std::byte> bytes(
      reinterpret_cast<const std::byte*>(values.data()), kCount * 4);
  const BufferView unplaced{nullptr, DType::kFloat32, DenseLayout({kCount})};
  for (const auto& sender : devices.backends) {
    std::shared_ptr<Buffer> source = *sender->Allocate(bytes.size());
    const auto writer = sender->NewWriter(
        source, 0, {.from = DType::kFloat32, .to = DType::kFloat32});
    ASSERT_TRUE(writer->Write(bytes).ok());
    ASSERT_TRUE(writer->Finish(nullptr).ok());
    for (const auto& receiver : devices.backends) {
      if (receiver == sender) continue;
      for (const DType to :
           {DType::kFloat32, DType::kFloat16, DType::kFloat64}) {
        std::vector<std::byte> expected(kCount * ItemSize(to));
        CastPacked(DType::kFloat32, bytes.data(), to, expected.data(), kCount,
                   Overflow::kTorch, nullptr);
        std::shared_ptr<Buffer> result = *receiver->Allocate(expected.size());
        BufferView view = unplaced;
        view.buffer = source;
        ASSERT_TRUE(receiver
                        ->CastFromPeer(*sender, view, to, Overflow::kTorch,
                                       *result, nullptr)
                        .ok());
        std::vector<std::byte> actual(expected.size());
        ASSERT_TRUE(receiver
                        ->ReadToHost({result, to, DenseLayout({kCount})}, 0,
                                     kCount, to, ByteOrder::kLittle,
                                     Overflow::kTorch, actual.data(), nullptr)
                        .ok());
        EXPECT_TRUE(actual == expected) << Name(to);
      }
    }
  }
}

}  // namespace
}  // namespace tensord
