// Buffers that are paid for.
#ifndef TENSORD_SERVER_RPC_BUFFER_ALLOCATOR_H_
#define TENSORD_SERVER_RPC_BUFFER_ALLOCATOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/device/device.h"
#include "core/device/device_registry.h"
#include "core/memory/buffer.h"
#include "core/store/quota.h"

namespace tensord {

// Allocates buffers on any device, within one quota for all and a limit for
// each. Thread-safe. Buffers may outlive it.
class BufferAllocator {
 public:
  // `devices` (complete by now) and `quota` have to outlive the allocator.
  // `make_room` is called when memory is short; true says that some was given
  // back and another try makes sense.
  BufferAllocator(
      const DeviceRegistry& devices, Quota& quota,
      std::int64_t max_buffer_bytes,
      std::function<bool()> make_room = [] { return false; });

  // An uninitialised buffer; the quota has its bytes back when the last pointer
  // to it goes. INVALID_ARGUMENT (TENSOR_TOO_LARGE), RESOURCE_EXHAUSTED
  // (MEMORY_EXHAUSTED), errors of DeviceRegistry::Find. REQUIRES: size_bytes >=
  // 0.
  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(Device device,
                                                   std::int64_t size_bytes);

  // Bytes of buffers on `device` that exist now.
  std::int64_t used_bytes(Device device) const;

 private:
  absl::StatusOr<std::shared_ptr<Buffer>> TryAllocate(DeviceBackend& backend,
                                                      Device device,
                                                      std::int64_t size_bytes);

  using Counter = std::atomic<std::int64_t>;

  const DeviceRegistry& devices_;
  Quota& quota_;
  std::int64_t max_buffer_bytes_;
  std::function<bool()> make_room_;
  // One per backend, in their order.
  std::vector<std::shared_ptr<Counter>> used_bytes_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_BUFFER_ALLOCATOR_H_
