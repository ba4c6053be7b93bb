#include "core/device/cpu_backend.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
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
  const auto writer = backend->NewWriter(
      buffer, 0, {.from = DType::kUInt8, .to = DType::kUInt8});
  const std::vector<std::byte> piece = {std::byte{1}, std::byte{2}};
  ASSERT_TRUE(writer->Write(piece).ok());
  EXPECT_EQ(buffer->data()[1], std::byte{2});
}

TEST(CpuBackendTest, ShowsTheHostEveryBuffer) {
  const auto backend = NewCpuBackend({});
  const std::shared_ptr<Buffer> buffer = *backend->Allocate(4);
  EXPECT_EQ(backend->HostAddress(*buffer), buffer->data());
}

TEST(CpuBackendTest, FillsLargeBuffersInPieces) {
  constexpr std::size_t kPiece = 65'000;
  constexpr std::size_t kPieces = 100;
  const auto backend = NewCpuBackend({});
  const std::shared_ptr<Buffer> buffer =
      *backend->Allocate(kPiece * kPieces * 2);
  const auto writer = backend->NewWriter(
      buffer, 0, {.from = DType::kUInt8, .to = DType::kUInt16});
  std::vector<std::byte> piece(kPiece);
  for (std::size_t i = 0; i < kPieces; ++i) {
    for (std::size_t j = 0; j < kPiece; ++j) {
      piece[j] = static_cast<std::byte>(i + j);
    }
    ASSERT_TRUE(writer->Write(piece).ok());
  }
  ASSERT_TRUE(writer->Finish(nullptr).ok());
  const auto* const results =
      reinterpret_cast<const std::uint16_t*>(buffer->data());
  for (std::size_t i = 0; i < kPiece * kPieces; ++i) {
    ASSERT_EQ(results[i], (i / kPiece + i % kPiece) % 256) << i;
  }
}

// The parts give what the whole gives, in whatever order they are cast.
TEST(CpuBackendTest, SharesLargeCasts) {
  std::size_t parts = 0;
  const auto backend = NewCpuBackend(
      {}, [&](std::size_t count, const std::function<void(std::size_t)>& body) {
        parts = count;
        for (std::size_t i = count; i-- > 0;) body(i);
      });
  constexpr std::int64_t kCount = 7'000'001;
  const std::shared_ptr<Buffer> source = *backend->Allocate(kCount * 4);
  auto* const floats = reinterpret_cast<float*>(source->data());
  for (std::int64_t i = 0; i < kCount; ++i) {
    floats[i] = static_cast<float>(i % 1000);
  }
  floats[4'000'000] = 3e9f;
  floats[kCount - 1] = -3e9f;
  const std::shared_ptr<Buffer> result = *backend->Allocate(kCount * 4);
  CastFailures failures;
  ASSERT_TRUE(backend
                  ->Cast({.buffer = source,
                          .dtype = DType::kFloat32,
                          .layout = DenseLayout({kCount})},
                         DType::kInt32, Overflow::kError, *result, &failures,
                         {})
                  .ok());
  EXPECT_GT(parts, 1u);
  EXPECT_EQ(failures.count, 2u);
  EXPECT_EQ(failures.first_index, 4'000'000u);
  const auto* const integers =
      reinterpret_cast<const std::int32_t*>(result->data());
  for (std::int64_t i = 0; i < kCount; ++i) {
    if (i == 4'000'000 || i == kCount - 1) continue;
    ASSERT_EQ(integers[i], i % 1000) << i;
  }
}

TEST(CpuBackendTest, CastsNoMoreThanAPartForWhoHasGivenUp) {
  constexpr std::int64_t kCount = 40'000'000;
  const auto backend = NewCpuBackend({});
  const std::shared_ptr<Buffer> source = *backend->Allocate(kCount);
  const std::shared_ptr<Buffer> result = *backend->Allocate(kCount);
  std::fill_n(source->data(), kCount, std::byte{1});
  std::fill_n(result->data(), kCount, std::byte{2});
  CastFailures failures;
  int asked = 0;
  EXPECT_EQ(backend
                ->Cast({.buffer = source,
                        .dtype = DType::kUInt8,
                        .layout = DenseLayout({kCount})},
                       DType::kInt8, Overflow::kTorch, *result, &failures,
                       [&] { return ++asked == 3; })
                .code(),
            absl::StatusCode::kCancelled);
  // Nobody asks again, and two parts are cast.
  EXPECT_EQ(asked, 3);
  const auto cast =
      std::count(result->data(), result->data() + kCount, std::byte{1});
  EXPECT_EQ(result->data()[cast], std::byte{2});
  EXPECT_GT(cast, 0);
  EXPECT_LT(cast, kCount * 3 / 4);
}

TEST(CpuBackendTest, BuffersOutliveTheBackend) {
  auto backend = NewCpuBackend({});
  const std::shared_ptr<Buffer> buffer = *backend->Allocate(1000);
  backend.reset();
  buffer->data()[999] = std::byte{1};
}

}  // namespace
}  // namespace tensord
