// For binaries that are built without CUDA.
#include "core/device/cuda/find_cuda_devices.h"

namespace tensord {

CudaDevices FindCudaDevices(const ParallelFor&) { return {}; }

}  // namespace tensord
