#include "core/device/out_of_service.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error.h"

namespace tensord {
namespace {

class RefusingWriter final : public BufferWriter {
 public:
  explicit RefusingWriter(absl::Status refusal)
      : refusal_(std::move(refusal)) {}

  absl::Status Write(absl::Span<const std::byte>) override { return refusal_; }
  absl::Status Flush() override { return refusal_; }
  absl::Status Finish(CastFailures*) override { return refusal_; }
  ConversionReport report() const override { return {}; }

 private:
  const absl::Status refusal_;
};

class OutOfServiceBackend final : public DeviceBackend {
 public:
  OutOfServiceBackend(const DeviceBackend& device, const absl::Status& why)
      : device_(device.device()),
        description_(device.description()),
        memory_bytes_(device.memory_bytes()),
        refusal_(MakeError(
            absl::StatusCode::kFailedPrecondition, reason::kDeviceOutOfService,
            absl::StrCat(DeviceString(device_), " is out of service, since ",
                         why.message()))) {}

  Device device() const override { return device_; }
  std::string description() const override { return description_; }
  std::size_t memory_bytes() const override { return memory_bytes_; }
  bool may_wait() const override { return false; }
  absl::Status health() const override { return refusal_; }

  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(std::size_t) override {
    return refusal_;
  }
  PoolStats pool_stats() const override { return {}; }
  void Trim(absl::Duration) override {}
  std::unique_ptr<BufferWriter> NewWriter(std::shared_ptr<Buffer>, std::int64_t,
                                          const CastStream::Options&) override {
    return std::make_unique<RefusingWriter>(refusal_);
  }
  absl::Status ReadToHost(const BufferView&, std::int64_t, std::int64_t, DType,
                          ByteOrder, Overflow, std::byte*,
                          CastFailures*) override {
    return refusal_;
  }
  absl::Status Cast(const BufferView&, DType, Overflow, Buffer&, CastFailures*,
                    const IsCancelled&) override {
    return refusal_;
  }
  absl::Status CastFromPeer(DeviceBackend&, const BufferView&, DType, Overflow,
                            Buffer&, CastFailures*) override {
    return refusal_;
  }
  const std::byte* HostAddress(const Buffer&) const override { return nullptr; }

 private:
  const Device device_;
  const std::string description_;
  const std::size_t memory_bytes_;
  const absl::Status refusal_;
};

}  // namespace

std::unique_ptr<DeviceBackend> NewOutOfServiceBackend(
    const DeviceBackend& device, const absl::Status& why) {
  return std::make_unique<OutOfServiceBackend>(device, why);
}

}  // namespace tensord
