// Buffers that are paid for.
#ifndef TENSORD_SERVER_RPC_BUFFER_ALLOCATOR_H_
#define TENSORD_SERVER_RPC_BUFFER_ALLOCATOR_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "core/device/device.h"
#include "core/device/device_registry.h"
#include "core/memory/buffer.h"
#include "core/store/device_quotas.h"

namespace tensord {

// Allocates buffers on any device, within the device's quota, a tenant's own,
// and a limit for each buffer. Thread-safe. Buffers may outlive it.
class BufferAllocator {
 public:
  // Gives back memory of a device that is short of it, or of which the tenant
  // has no more; not asked where a limit is below what is wanted. True says
  // that some was, and another try makes sense.
  using MakeRoom = std::function<bool(Device device)>;

  // `devices`, and quotas for each of them, have to outlive the allocator.
  // `own_quotas` may be null.
  BufferAllocator(
      const DeviceRegistry& devices, DeviceQuotas& quotas,
      DeviceQuotas* own_quotas, std::int64_t max_buffer_bytes,
      MakeRoom make_room = [](Device) { return false; });

  // An uninitialised buffer; the quota has its bytes back when the last pointer
  // to it goes. INVALID_ARGUMENT (TENSOR_TOO_LARGE), RESOURCE_EXHAUSTED
  // (QUOTA_EXCEEDED) for the tenant's own quota, errors of
  // DeviceRegistry::Find, DeviceQuotas::Reserve and DeviceBackend::Allocate.
  // REQUIRES: size_bytes >= 0.
  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(Device device,
                                                   std::int64_t size_bytes);

 private:
  // Whether limits allow for as much where nothing else is.
  bool CanEverFit(Device device, std::int64_t size_bytes) const;
  absl::StatusOr<std::shared_ptr<void>> ReserveOwn(Device device,
                                                   std::int64_t size_bytes);
  absl::StatusOr<std::shared_ptr<Buffer>> TryAllocate(DeviceBackend& backend,
                                                      std::int64_t size_bytes);

  const DeviceRegistry& devices_;
  DeviceQuotas& quotas_;
  DeviceQuotas* const own_quotas_;
  std::int64_t max_buffer_bytes_;
  MakeRoom make_room_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_BUFFER_ALLOCATOR_H_
