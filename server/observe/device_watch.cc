#include "server/observe/device_watch.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"

namespace tensord {

void DeviceWatch::Look() {
  for (const auto& backend : devices_.backends()) {
    const Device device = backend->device();
    const absl::Status health = backend->health();
    health_.SetDevice(device, health.ok());
    if (health.ok() || std::find(out_of_service_.begin(), out_of_service_.end(),
                                 device) != out_of_service_.end()) {
      continue;
    }
    out_of_service_.push_back(device);
    WriteLogAt(LogLevel::kError,
               LogLine(log_format_, "device_out_of_service")
                   .Add("device", DeviceString(device))
                   .Add("message", std::string(health.message()))
                   .text());
  }
}

}  // namespace tensord
