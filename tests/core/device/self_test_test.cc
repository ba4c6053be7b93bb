#include "core/device/self_test.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/device/cpu_backend.h"
#include "core/device/golden_casts.h"
#include "core/error.h"
#include "tests/core/cast/every_cast_table.h"
#include "tests/core/device/fake_backend.h"
#include "tests/core/device/wrapped_backend.h"

namespace tensord {
namespace {

using ::tensord::testing::WithEveryCastTable;
using ::testing::HasSubstr;

constexpr Device kCuda3{DeviceType::kCuda, 3};

// Spoils what comes out of it, at times.
class SpoiltBackend final : public WrappedBackend {
 public:
  // Called with the bytes of a result, which it may change.
  using Spoil = std::function<void(DType from, DType to, std::byte* result)>;

  SpoiltBackend(Spoil cast, Spoil read)
      : WrappedBackend(NewCpuBackend({})),
        cast_(std::move(cast)),
        read_(std::move(read)) {}

  absl::Status ReadToHost(const BufferView& source, std::int64_t begin,
                          std::int64_t count, DType to, ByteOrder to_order,
                          Overflow overflow, std::byte* dst,
                          CastFailures* failures) override {
    absl::Status status = WrappedBackend::ReadToHost(
        source, begin, count, to, to_order, overflow, dst, failures);
    if (read_) read_(source.dtype, to, dst);
    return status;
  }

  absl::Status Cast(const BufferView& source, DType to, Overflow overflow,
                    Buffer& destination, CastFailures* failures,
                    const IsCancelled& is_cancelled) override {
    absl::Status status = WrappedBackend::Cast(
        source, to, overflow, destination, failures, is_cancelled);
    if (cast_) cast_(source.dtype, to, destination.data());
    return status;
  }

 private:
  const Spoil cast_;
  const Spoil read_;
};

TEST(SelfTestTest, EveryTableOfCastsPasses) {
  WithEveryCastTable([] {
    const auto cpu = NewCpuBackend({});
    EXPECT_EQ(SelfTest(*cpu), absl::OkStatus());
    EXPECT_EQ(cpu->pool_stats().reserved_bytes, 0u);
  });
}

TEST(SelfTestTest, NoPairGoesUntested) {
  for (std::size_t from = 0; from < kDTypeCount; ++from) {
    const GoldenInputs& inputs = kGoldenInputs[from];
    EXPECT_EQ(inputs.bytes.size(),
              inputs.count * ItemSize(static_cast<DType>(from)));
    EXPECT_GE(inputs.count, 2u);
    for (std::size_t to = 0; to < kDTypeCount; ++to) {
      const std::uint32_t defined = kGoldenCasts[from][to].defined;
      EXPECT_EQ(std::uint64_t{defined} >> inputs.count, 0u);
      // Of integers PyTorch's versions make different float8_e4m3fn.
      EXPECT_GE(static_cast<std::size_t>(std::popcount(defined)),
                std::min<std::size_t>(inputs.count, 8))
          << from << " to " << to;
    }
  }
}

// In each pair of dtypes, at each end of the array.
TEST(SelfTestTest, FindsAWrongBit) {
  int pair = 0;
  for (const DType from : AllDTypes()) {
    for (const DType to : AllDTypes()) {
      const GoldenInputs& inputs =
          kGoldenInputs[static_cast<std::size_t>(from)];
      const std::uint32_t defined = kGoldenCasts[static_cast<std::size_t>(from)]
                                                [static_cast<std::size_t>(to)]
                                                    .defined;
      std::size_t element = ++pair % 2 == 0 ? 0 : kGoldenCount - 1;
      while ((defined >> (element % inputs.count) & 1U) == 0) {
        element += pair % 2 == 0 ? 1 : -1;
      }
      SpoiltBackend device(
          [&](DType source, DType target, std::byte* result) {
            if (source != from || target != to) return;
            result[(element + 1) * ItemSize(to) - 1] ^= std::byte{1};
          },
          nullptr);
      const absl::Status status = SelfTest(device);
      EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
      EXPECT_EQ(GetErrorReason(status), reason::kDeviceError);
      EXPECT_EQ(
          status.message(),
          absl::StrCat("the self-test of cpu failed: casting ",
                       std::string(Name(from)), " to ", std::string(Name(to)),
                       " gave other bits than PyTorch has"));
    }
  }
}

TEST(SelfTestTest, FindsMemoryThatDoesNotKeepWhatItIsGiven) {
  for (const DType dtype : AllDTypes()) {
    SpoiltBackend device(nullptr, [&](DType source, DType, std::byte* result) {
      if (source == dtype) result[100] ^= std::byte{64};
    });
    const absl::Status status = SelfTest(device);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("gave other bits than PyTorch has"));
  }
}

TEST(SelfTestTest, FindsADeviceThatErrs) {
  int calls = 0;
  for (;; calls += 13) {
    const auto faults = std::make_shared<FaultPlan>();
    FakeBackend device(kCuda3, faults);
    faults->FailAfter(calls);
    const absl::Status status = SelfTest(device);
    if (!faults->fired()) {
      EXPECT_EQ(status, absl::OkStatus());
      break;
    }
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_TRUE(absl::StartsWith(status.message(),
                                 "the self-test of cuda:3 failed in "));
    EXPECT_TRUE(absl::EndsWith(status.message(), ": planned fault"));
    EXPECT_EQ(device.pool_stats().used_bytes, 0u);
  }
  // An allocation, a cast and a read for each pair.
  EXPECT_GT(calls, 3 * 17 * 17);
}

std::unique_ptr<DeviceBackend> NewFake(int calls_without_fault) {
  const auto faults = std::make_shared<FaultPlan>();
  faults->FailAfter(calls_without_fault);
  return std::make_unique<FakeBackend>(kCuda3, faults);
}

TEST(AddTestedTest, LeavesOneThatFailsOutOfService) {
  DeviceRegistry devices;
  std::vector<std::unique_ptr<DeviceBackend>> backends;
  backends.push_back(NewCpuBackend({}));
  backends.push_back(NewFake(7));
  EXPECT_EQ(AddTested(std::move(backends), devices), absl::OkStatus());
  ASSERT_EQ(devices.backends().size(), 2u);
  EXPECT_EQ((*devices.Find(kCpuDevice))->health(), absl::OkStatus());
  const absl::Status health = (*devices.Find(kCuda3))->health();
  EXPECT_EQ(GetErrorReason(health), reason::kDeviceOutOfService);
  EXPECT_THAT(std::string(health.message()), HasSubstr("planned fault"));
}

TEST(AddTestedTest, NeedsTheCpu) {
  DeviceRegistry devices;
  std::vector<std::unique_ptr<DeviceBackend>> backends;
  backends.push_back(std::make_unique<SpoiltBackend>(
      [](DType, DType, std::byte* result) { *result ^= std::byte{1}; },
      nullptr));
  backends.push_back(NewFake(1 << 20));
  const absl::Status status = AddTested(std::move(backends), devices);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("self-test of cpu"));
  EXPECT_EQ((*devices.Find(kCuda3))->health(), absl::OkStatus());
}

}  // namespace
}  // namespace tensord
