// Every call of CUDA fails in turn, in every way: the error is told, results
// that are told to be there are right, nothing is lost or hangs, and a device
// that still works goes on working.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/cast/cast.h"
#include "core/device/cuda/cuda_backend.h"
#include "core/error.h"
#include "tests/core/device/cuda/fake_cuda_runtime.h"

namespace tensord {
namespace {

using ::tensord::testing::FakeCudaMachine;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using Fault = FakeCudaMachine::Fault;
using Bytes = std::vector<std::byte>;

constexpr std::int64_t kCount = 3000;

Bytes Source() {
  std::mt19937_64 random{1};
  Bytes bytes(kCount * 8);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Devices 0 and 1 of a machine, and what there is to do with them.
class Devices {
 public:
  // An error of any of the two.
  absl::Status Open(const std::shared_ptr<FakeCudaMachine>& machine) {
    for (int i = 0; i < 2; ++i) {
      auto backend = NewCudaBackend(machine->NewDevice(i));
      if (!backend.ok()) return backend.status();
      (i == 0 ? first_ : second_) = *std::move(backend);
    }
    return absl::OkStatus();
  }

  // All kinds of work, each result compared: the first error.
  absl::Status Work() {
    for (const auto& step : Steps()) {
      absl::Status status = step();
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  DeviceBackend& first() { return *first_; }
  DeviceBackend& second() { return *second_; }

 private:
  std::vector<std::function<absl::Status()>> Steps() {
    return {
        [this] { return Upload(DType::kFloat64, DType::kFloat64); },
        [this] { return Upload(DType::kFloat64, DType::kFloat16); },
        [this] { return Upload(DType::kBFloat16, DType::kFloat32); },
        [this] { return Cast(DType::kFloat32, Overflow::kTorch); },
        [this] { return Cast(DType::kInt8, Overflow::kError); },
        [this] { return Peer(DType::kFloat64, Overflow::kTorch); },
        [this] { return Peer(DType::kInt16, Overflow::kError); },
        [this] { return Peer(DType::kComplex128, Overflow::kTorch); },
    };
  }

  absl::StatusOr<std::shared_ptr<Buffer>> Store(DType from, DType to) {
    const std::size_t count = source_.size() / ItemSize(from);
    auto buffer = first_->Allocate(count * ItemSize(to));
    if (!buffer.ok()) return buffer.status();
    const auto writer = first_->NewWriter(*buffer, 0, {.from = from, .to = to});
    const absl::Span<const std::byte> bytes(source_);
    absl::Status status = writer->Write(bytes.first(5000));
    if (status.ok()) status = writer->Flush();
    if (status.ok()) status = writer->Write(bytes.subspan(5000));
    if (status.ok()) status = writer->Finish(nullptr);
    if (!status.ok()) return status;
    return buffer;
  }

  static absl::Status ExpectElements(DeviceBackend& backend,
                                     const BufferView& view, DType to,
                                     const Bytes& expected) {
    Bytes actual(expected.size());
    absl::Status status = backend.ReadToHost(
        view, 0, ElementCount(view.layout.shape), to, ByteOrder::kLittle,
        Overflow::kTorch, actual.data(), nullptr);
    EXPECT_TRUE(!status.ok() || actual == expected);
    return status;
  }

  Bytes Expected(DType from, const Layout& layout, DType to,
                 CastFailures* failures = nullptr) {
    const std::int64_t count = ElementCount(layout.shape);
    Bytes expected(static_cast<std::size_t>(count) * ItemSize(to));
    CastFailures found;
    CastStrided(from, source_.data(), layout, 0, count, to, ByteOrder::kLittle,
                expected.data(), Overflow::kError, &found);
    if (failures != nullptr) *failures = found;
    return expected;
  }

  absl::Status Upload(DType from, DType to) {
    const auto buffer = Store(from, to);
    if (!buffer.ok()) return buffer.status();
    const auto count =
        static_cast<std::int64_t>(source_.size() / ItemSize(from));
    const Layout layout = DenseLayout({count});
    return ExpectElements(*first_, {*buffer, to, layout}, to,
                          Expected(from, layout, to));
  }

  absl::Status Cast(DType to, Overflow overflow) {
    const auto buffer = Store(DType::kFloat64, DType::kFloat64);
    if (!buffer.ok()) return buffer.status();
    const Layout layout{{kCount}, {-1}, kCount - 1};
    CastFailures expected_failures;
    const Bytes expected =
        Expected(DType::kFloat64, layout, to, &expected_failures);
    auto result = first_->Allocate(expected.size());
    if (!result.ok()) return result.status();
    CastFailures failures;
    absl::Status status = first_->Cast({*buffer, DType::kFloat64, layout}, to,
                                       overflow, **result, &failures, {});
    if (!status.ok()) return status;
    if (overflow == Overflow::kError) {
      EXPECT_EQ(failures.count, expected_failures.count);
      EXPECT_EQ(failures.first_value, expected_failures.first_value);
    }
    return ExpectElements(*first_, {*result, to, DenseLayout({kCount})}, to,
                          expected);
  }

  absl::Status Peer(DType to, Overflow overflow) {
    const auto buffer = Store(DType::kFloat64, DType::kFloat64);
    if (!buffer.ok()) return buffer.status();
    const Layout layout = DenseLayout({kCount});
    const Bytes expected = Expected(DType::kFloat64, layout, to);
    auto result = second_->Allocate(expected.size());
    if (!result.ok()) return result.status();
    CastFailures failures;
    absl::Status status =
        second_->CastFromPeer(*first_, {*buffer, DType::kFloat64, layout}, to,
                              overflow, **result, &failures);
    if (!status.ok()) return status;
    return ExpectElements(*second_, {*result, to, layout}, to, expected);
  }

  const Bytes source_ = Source();
  std::unique_ptr<DeviceBackend> first_;
  std::unique_ptr<DeviceBackend> second_;
};

class CudaFaultsTest : public ::testing::TestWithParam<Fault> {};

TEST_P(CudaFaultsTest, EveryCallMayFail) {
  for (int calls = 0;; ++calls) {
    SCOPED_TRACE(calls);
    const auto machine =
        FakeCudaMachine::Make({.device_memory_bytes = std::size_t{200} << 20,
                               .pinned_memory_bytes = std::size_t{200} << 20});
    Devices devices;
    ASSERT_TRUE(devices.Open(machine).ok());
    machine->FailAfter(calls, GetParam());
    const absl::Status status = devices.Work();
    if (!machine->fired()) {
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_GT(calls, 100);
      return;
    }
    if (!status.ok()) {
      EXPECT_THAT(GetErrorReason(status),
                  AnyOf(reason::kDeviceError, reason::kDeviceOutOfService,
                        reason::kDeviceMemoryExhausted));
    }
    const absl::Status again = devices.Work();
    const bool works =
        devices.first().health().ok() && devices.second().health().ok();
    EXPECT_EQ(again.ok(), GetParam() == Fault::kOnce) << again;
    EXPECT_EQ(works, GetParam() == Fault::kOnce);
    if (!works) {
      EXPECT_EQ(GetErrorReason(devices.Work()), reason::kDeviceOutOfService);
    }
    if (::testing::Test::HasFailure()) return;
  }
}

// Opening devices.
TEST_P(CudaFaultsTest, EveryCallMayFailAtTheStart) {
  for (int calls = 0;; ++calls) {
    SCOPED_TRACE(calls);
    const auto machine = FakeCudaMachine::Make();
    machine->FailAfter(calls, GetParam());
    Devices devices;
    const absl::Status status = devices.Open(machine);
    if (!machine->fired()) {
      EXPECT_TRUE(status.ok());
      EXPECT_GT(calls, 10);
      return;
    }
    if (status.ok() && GetParam() == Fault::kOnce) {
      EXPECT_TRUE(devices.Work().ok());
    }
    if (::testing::Test::HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, CudaFaultsTest,
                         ::testing::Values(Fault::kOnce, Fault::kLasting,
                                           Fault::kInStream));

TEST(CudaErrorsTest, ABrokenDeviceIsOutOfService) {
  const auto machine = FakeCudaMachine::Make();
  Devices devices;
  ASSERT_TRUE(devices.Open(machine).ok());
  const auto buffer = devices.first().Allocate(100);
  ASSERT_TRUE(buffer.ok());
  const auto writer = devices.first().NewWriter(
      *buffer, 0, {.from = DType::kUInt8, .to = DType::kUInt8});
  machine->FailAfter(0, Fault::kInStream);
  machine->Pause();
  // The copy is enqueued; that it fails is found out later.
  EXPECT_TRUE(writer->Write(Bytes(100)).ok());
  EXPECT_TRUE(writer->Flush().ok());
  machine->Resume();
  const absl::Status found = writer->Finish(nullptr);
  EXPECT_EQ(found.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(GetErrorReason(found), reason::kDeviceError);
  EXPECT_THAT(
      std::string(found.message()),
      HasSubstr("CUDA error: an illegal memory access was encountered"));
  EXPECT_THAT(std::string(found.message()), HasSubstr("on cuda:0"));

  const absl::Status health = devices.first().health();
  EXPECT_EQ(health.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorReason(health), reason::kDeviceOutOfService);
  EXPECT_THAT(std::string(health.message()),
              HasSubstr("cuda:0 is out of service"));
  EXPECT_EQ(devices.first().Allocate(1).status(), health);
  Bytes bytes(100);
  const BufferView view{*buffer, DType::kUInt8, DenseLayout({100})};
  EXPECT_EQ(devices.first().ReadToHost(view, 0, 100, DType::kUInt8,
                                       ByteOrder::kLittle, Overflow::kTorch,
                                       bytes.data(), nullptr),
            health);
  EXPECT_EQ(devices.first().Cast(view, DType::kUInt8, Overflow::kTorch,
                                 **buffer, nullptr, {}),
            health);
  EXPECT_EQ(writer->Finish(nullptr), health);
  const auto other = devices.second().Allocate(100);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(devices.second().CastFromPeer(devices.first(), view, DType::kUInt8,
                                          Overflow::kTorch, **other, nullptr),
            health);
  EXPECT_TRUE(devices.second().health().ok());
  // What there is to ask is answered all the same.
  devices.first().Trim(absl::ZeroDuration());
  EXPECT_EQ(devices.first().pool_stats().used_bytes, 100U);
}

}  // namespace
}  // namespace tensord
