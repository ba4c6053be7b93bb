// A device that does what another one does, for tests to change.
#ifndef TENSORD_TESTS_CORE_DEVICE_WRAPPED_BACKEND_H_
#define TENSORD_TESTS_CORE_DEVICE_WRAPPED_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/device/device_backend.h"

namespace tensord {

// Forwards every call. As thread-safe as what it wraps.
class WrappedBackend : public DeviceBackend {
 public:
  explicit WrappedBackend(std::unique_ptr<DeviceBackend> wrapped)
      : wrapped_(std::move(wrapped)) {}

  Device device() const override { return wrapped_->device(); }
  std::string description() const override { return wrapped_->description(); }
  std::size_t memory_bytes() const override { return wrapped_->memory_bytes(); }
  bool may_wait() const override { return wrapped_->may_wait(); }
  absl::Status health() const override { return wrapped_->health(); }
  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(
      std::size_t size_bytes) override {
    return wrapped_->Allocate(size_bytes);
  }
  PoolStats pool_stats() const override { return wrapped_->pool_stats(); }
  void Trim(absl::Duration idle) override { wrapped_->Trim(idle); }
  std::unique_ptr<BufferWriter> NewWriter(
      std::shared_ptr<Buffer> buffer, std::int64_t begin,
      const CastStream::Options& conversion) override {
    return wrapped_->NewWriter(std::move(buffer), begin, conversion);
  }
  absl::Status ReadToHost(const BufferView& source, std::int64_t begin,
                          std::int64_t count, DType to, ByteOrder to_order,
                          Overflow overflow, std::byte* dst,
                          CastFailures* failures) override {
    return wrapped_->ReadToHost(source, begin, count, to, to_order, overflow,
                                dst, failures);
  }
  absl::Status Cast(const BufferView& source, DType to, Overflow overflow,
                    Buffer& destination, CastFailures* failures,
                    const IsCancelled& is_cancelled) override {
    return wrapped_->Cast(source, to, overflow, destination, failures,
                          is_cancelled);
  }
  absl::Status CastFromPeer(DeviceBackend& peer, const BufferView& source,
                            DType to, Overflow overflow, Buffer& destination,
                            CastFailures* failures) override {
    return wrapped_->CastFromPeer(peer, source, to, overflow, destination,
                                  failures);
  }
  const std::byte* HostAddress(const Buffer& buffer) const override {
    return wrapped_->HostAddress(buffer);
  }

 private:
  const std::unique_ptr<DeviceBackend> wrapped_;
};

}  // namespace tensord

#endif  // TENSORD_TESTS_CORE_DEVICE_WRAPPED_BACKEND_H_
