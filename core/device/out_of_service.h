// A device that is there, and must not be used.
#ifndef TENSORD_CORE_DEVICE_OUT_OF_SERVICE_H_
#define TENSORD_CORE_DEVICE_OUT_OF_SERVICE_H_

#include <memory>

#include "absl/status/status.h"
#include "core/device/device_backend.h"

namespace tensord {

// Stands for `device` from the start on: has its name, description and memory,
// and refuses all else with FAILED_PRECONDITION (DEVICE_OUT_OF_SERVICE), as its
// health says too, because of `why`. Keeps nothing of `device`.
std::unique_ptr<DeviceBackend> NewOutOfServiceBackend(
    const DeviceBackend& device, const absl::Status& why);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_OUT_OF_SERVICE_H_
