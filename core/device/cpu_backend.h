// The CPU as a device.
#ifndef TENSORD_CORE_DEVICE_CPU_BACKEND_H_
#define TENSORD_CORE_DEVICE_CPU_BACKEND_H_

#include <memory>

#include "core/device/device_backend.h"
#include "core/memory/arena.h"

namespace tensord {

// A backend whose buffers come from an arena of its own.
std::unique_ptr<DeviceBackend> NewCpuBackend(Arena::Options options);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CPU_BACKEND_H_
