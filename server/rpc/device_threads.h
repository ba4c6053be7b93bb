// Threads for the calls of devices that may wait for hardware.
#ifndef TENSORD_SERVER_RPC_DEVICE_THREADS_H_
#define TENSORD_SERVER_RPC_DEVICE_THREADS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/device/device.h"
#include "core/device/device_registry.h"

namespace tensord {

// A few threads for each device that may wait, and none for others: while a
// device waits, only work for that device does. Thread-safe.
class DeviceThreads {
 public:
  static constexpr int kThreadsPerDevice = 4;

  // `devices` is complete.
  explicit DeviceThreads(const DeviceRegistry& devices);
  // Waits for what was posted.
  ~DeviceThreads();
  DeviceThreads(const DeviceThreads&) = delete;
  DeviceThreads& operator=(const DeviceThreads&) = delete;

  // Has a thread of `device` do `work`, after what was posted before and beside
  // it. RESOURCE_EXHAUSTED (MEMORY_EXHAUSTED): it can not be queued, and is not
  // done. REQUIRES: WaitsFor says `device`; `work` does not throw.
  absl::Status Post(Device device, std::function<void()> work);

 private:
  struct Pool;
  std::vector<std::unique_ptr<Pool>> pools_;
};

// `device` if what uses it has to be posted to its threads; nothing if it never
// waits, or is not there.
std::optional<Device> WaitsFor(const DeviceRegistry& devices, Device device);
// The same for the field `device` of a request, whatever it says.
std::optional<Device> WaitsFor(const DeviceRegistry& devices,
                               const std::string& device);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_DEVICE_THREADS_H_
