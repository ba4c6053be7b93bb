// Tells of devices that go out of service.
#ifndef TENSORD_SERVER_OBSERVE_DEVICE_WATCH_H_
#define TENSORD_SERVER_OBSERVE_DEVICE_WATCH_H_

#include <vector>

#include "core/device/device.h"
#include "core/device/device_registry.h"
#include "server/observe/health.h"
#include "server/observe/log_line.h"

namespace tensord {

// Not thread-safe.
class DeviceWatch {
 public:
  // `devices`, complete by now, and `health` outlive this object.
  DeviceWatch(const DeviceRegistry& devices, Health& health,
              LogFormat log_format)
      : devices_(devices), health_(health), log_format_(log_format) {}

  // Sets the health of every device, and writes a line to the log about one
  // that is out of service for the first time.
  void Look();

 private:
  const DeviceRegistry& devices_;
  Health& health_;
  const LogFormat log_format_;
  // What the log has already.
  std::vector<Device> out_of_service_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_DEVICE_WATCH_H_
