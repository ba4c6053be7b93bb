#include "core/device/self_test.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "core/crc32c.h"
#include "core/device/golden_casts.h"
#include "core/device/out_of_service.h"
#include "core/dtype.h"
#include "core/error.h"

namespace tensord {
namespace {

using Bytes = std::vector<std::byte>;

constexpr auto kCount = static_cast<std::int64_t>(kGoldenCount);

std::string NameOf(DType dtype) { return std::string(Name(dtype)); }

Layout PackedLayout() {
  return {.shape = {kCount}, .strides = {1}, .offset = 0};
}

Bytes GoldenArray(DType dtype) {
  const GoldenInputs& inputs = kGoldenInputs[static_cast<std::size_t>(dtype)];
  Bytes array(kGoldenCount * ItemSize(dtype));
  for (std::size_t i = 0; i < array.size(); ++i) {
    array[i] = std::byte{inputs.bytes[i % inputs.bytes.size()]};
  }
  return array;
}

std::uint32_t ChecksumOfDefined(const Bytes& array, DType dtype,
                                std::uint32_t defined, std::size_t inputs) {
  const std::size_t size = ItemSize(dtype);
  std::string bytes;
  bytes.reserve(array.size());
  for (std::size_t i = 0; i < kGoldenCount; ++i) {
    if ((defined >> (i % inputs) & 1U) == 0) continue;
    bytes.append(reinterpret_cast<const char*>(array.data()) + i * size, size);
  }
  return Crc32c(bytes);
}

class Test {
 public:
  explicit Test(DeviceBackend& device) : device_(device) {}

  absl::Status Run() {
    for (const DType from : AllDTypes()) {
      const Bytes array = GoldenArray(from);
      const std::string what = absl::StrCat("keeping ", NameOf(from));
      auto stored = Store(from, array);
      if (!stored.ok()) return At(what, stored.status());
      const auto back = Read(*stored, from);
      if (!back.ok()) return At(what, back.status());
      if (*back != array) return OtherBits(what);
      for (const DType to : AllDTypes()) {
        absl::Status status = CheckCast(*stored, from, to);
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

 private:
  using StoredArray = std::shared_ptr<Buffer>;

  absl::StatusOr<StoredArray> Store(DType dtype, const Bytes& array) {
    auto buffer = device_.Allocate(array.size());
    if (!buffer.ok()) return buffer.status();
    CastStream::Options copy;
    copy.from = dtype;
    copy.to = dtype;
    const auto writer = device_.NewWriter(*buffer, 0, copy);
    absl::Status status = writer->Write(array);
    if (status.ok()) status = writer->Flush();
    CastFailures failures;
    if (status.ok()) status = writer->Finish(&failures);
    if (!status.ok()) return status;
    return *std::move(buffer);
  }

  absl::StatusOr<Bytes> Read(const StoredArray& stored, DType dtype) {
    Bytes array(kGoldenCount * ItemSize(dtype));
    CastFailures failures;
    absl::Status status = device_.ReadToHost(
        {.buffer = stored, .dtype = dtype, .layout = PackedLayout()}, 0, kCount,
        dtype, ByteOrder::kLittle, Overflow::kTorch, array.data(), &failures);
    if (!status.ok()) return status;
    return array;
  }

  absl::Status CheckCast(const StoredArray& source, DType from, DType to) {
    const std::string what =
        absl::StrCat("casting ", NameOf(from), " to ", NameOf(to));
    auto result = device_.Allocate(kGoldenCount * ItemSize(to));
    if (!result.ok()) return At(what, result.status());
    CastFailures failures;
    absl::Status status = device_.Cast(
        {.buffer = source, .dtype = from, .layout = PackedLayout()}, to,
        Overflow::kTorch, **result, &failures, {});
    if (!status.ok()) return At(what, status);
    const auto array = Read(*result, to);
    if (!array.ok()) return At(what, array.status());
    const auto row = static_cast<std::size_t>(from);
    const GoldenCast& golden = kGoldenCasts[row][static_cast<std::size_t>(to)];
    return ChecksumOfDefined(*array, to, golden.defined,
                             kGoldenInputs[row].count) == golden.crc32c
               ? absl::OkStatus()
               : OtherBits(what);
  }

  absl::Status OtherBits(std::string_view what) const {
    return MakeError(
        absl::StatusCode::kInternal, reason::kDeviceError,
        absl::StrCat("the self-test of ", DeviceString(device_.device()),
                     " failed: ", std::string(what),
                     " gave other bits than PyTorch has"));
  }

  absl::Status At(std::string_view what, const absl::Status& status) const {
    return MakeError(
        status.code(), reason::kDeviceError,
        absl::StrCat("the self-test of ", DeviceString(device_.device()),
                     " failed in ", std::string(what), ": ", status.message()));
  }

  DeviceBackend& device_;
};

}  // namespace

absl::Status SelfTest(DeviceBackend& device) {
  absl::Status status = Test(device).Run();
  // What it took is not what the device is there for.
  device.Trim(absl::ZeroDuration());
  return status;
}

absl::Status AddTested(std::vector<std::unique_ptr<DeviceBackend>> backends,
                       DeviceRegistry& devices) {
  absl::Status cpu;
  for (auto& backend : backends) {
    if (absl::Status status = SelfTest(*backend); !status.ok()) {
      if (backend->device() == kCpuDevice) cpu = status;
      backend = NewOutOfServiceBackend(*backend, status);
    }
    devices.Add(std::move(backend));
  }
  return cpu;
}

}  // namespace tensord
