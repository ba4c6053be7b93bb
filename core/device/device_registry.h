// The devices of this process.
#ifndef TENSORD_CORE_DEVICE_DEVICE_REGISTRY_H_
#define TENSORD_CORE_DEVICE_DEVICE_REGISTRY_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/device/device_backend.h"

namespace tensord {

// What this process can do with CUDA devices.
struct CudaSupport {
  // Whether this binary could use them at all.
  bool built = false;
  // Why there are none all the same, in PyTorch's words; else empty.
  std::string unavailable = {};
};

// The CUDA devices of a machine.
struct CudaDevices {
  CudaSupport support;
  // In the order of their indices.
  std::vector<std::unique_ptr<DeviceBackend>> backends;
  // Devices that are there and can not be used, and why: "cuda:1: ...".
  std::vector<std::string> left_out;
};

// Finds backends. Filled once, then only read: thread-safe after that.
class DeviceRegistry {
 public:
  explicit DeviceRegistry(CudaSupport cuda = {}) : cuda_(std::move(cuda)) {}

  // REQUIRES: no backend for that device yet.
  void Add(std::unique_ptr<DeviceBackend> backend);

  // The backend of `device`. UNIMPLEMENTED (CUDA_NOT_BUILT) or
  // FAILED_PRECONDITION (DEVICE_NOT_PRESENT), with what PyTorch says and the
  // list of devices that are there.
  absl::StatusOr<DeviceBackend*> Find(Device device) const;

  const std::vector<std::unique_ptr<DeviceBackend>>& backends() const {
    return backends_;
  }
  const CudaSupport& cuda() const { return cuda_; }

 private:
  CudaSupport cuda_;
  std::vector<std::unique_ptr<DeviceBackend>> backends_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_DEVICE_REGISTRY_H_
