// The CUDA devices of this machine.
#ifndef TENSORD_CORE_DEVICE_CUDA_FIND_CUDA_DEVICES_H_
#define TENSORD_CORE_DEVICE_CUDA_FIND_CUDA_DEVICES_H_

#include "core/device/device_registry.h"
#include "core/parallel_for.h"

namespace tensord {

// Looks for a driver and devices, and opens each. Without CUDA, in this binary
// or on this machine, there are none: no error. Takes from milliseconds to
// seconds, where there is a driver. `parallel_for` as for NewCudaBackend.
CudaDevices FindCudaDevices(const ParallelFor& parallel_for = nullptr);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_FIND_CUDA_DEVICES_H_
