// The CPU as a device.
#ifndef TENSORD_CORE_DEVICE_CPU_BACKEND_H_
#define TENSORD_CORE_DEVICE_CPU_BACKEND_H_

#include <memory>

#include "core/device/device_backend.h"
#include "core/memory/arena.h"
#include "core/parallel_for.h"

namespace tensord {

// A backend whose buffers come from an arena of its own. Casts within the
// device that are large are shared by `parallel_for`, if there is one; it has
// to work as long as the backend is used.
std::unique_ptr<DeviceBackend> NewCpuBackend(
    Arena::Options options, ParallelFor parallel_for = nullptr);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CPU_BACKEND_H_
