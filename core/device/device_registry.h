// The devices of this process.
#ifndef TENSORD_CORE_DEVICE_DEVICE_REGISTRY_H_
#define TENSORD_CORE_DEVICE_DEVICE_REGISTRY_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/device/device_backend.h"

namespace tensord {

// Finds backends. Filled once, then only read: thread-safe after that.
class DeviceRegistry {
 public:
  // `cuda_built` says whether this binary could use CUDA devices at all.
  explicit DeviceRegistry(bool cuda_built) : cuda_built_(cuda_built) {}

  // REQUIRES: no backend for that device yet.
  void Add(std::unique_ptr<DeviceBackend> backend);

  // The backend of `device`. UNIMPLEMENTED (CUDA_NOT_BUILT) or
  // FAILED_PRECONDITION (DEVICE_NOT_PRESENT), with the list of devices that are
  // there.
  absl::StatusOr<DeviceBackend*> Find(Device device) const;

  const std::vector<std::unique_ptr<DeviceBackend>>& backends() const {
    return backends_;
  }
  bool cuda_built() const { return cuda_built_; }

 private:
  bool cuda_built_;
  std::vector<std::unique_ptr<DeviceBackend>> backends_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_DEVICE_REGISTRY_H_
