// A limit on the memory of every device.
#ifndef TENSORD_CORE_STORE_DEVICE_QUOTAS_H_
#define TENSORD_CORE_STORE_DEVICE_QUOTAS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/device/device.h"
#include "core/device/device_backend.h"
#include "core/store/quota.h"

namespace tensord {

// One quota per device. Filled once, then thread-safe. Reservations may outlive
// it.
class DeviceQuotas {
 public:
  // REQUIRES: none for that device yet.
  void Add(const DeviceBackend& backend, std::int64_t limit_bytes);

  // Quota::Reserve on `device`. RESOURCE_EXHAUSTED with the limit, what is in
  // use and what was asked for: MEMORY_EXHAUSTED on the CPU, elsewhere
  // DEVICE_MEMORY_EXHAUSTED in PyTorch's words. REQUIRES: the device was added;
  // size_bytes >= 0.
  absl::StatusOr<std::shared_ptr<void>> Reserve(Device device,
                                                std::int64_t size_bytes);

  // REQUIRES: the device was added.
  const Quota& Of(Device device) const;

 private:
  struct Entry {
    Device device;
    // Of the hardware.
    std::int64_t total_bytes;
    std::unique_ptr<Quota> quota;
  };

  const Entry& Find(Device device) const;

  std::vector<Entry> entries_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_STORE_DEVICE_QUOTAS_H_
