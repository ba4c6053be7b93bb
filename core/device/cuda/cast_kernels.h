// The kernels, as calls.
#ifndef TENSORD_CORE_DEVICE_CUDA_CAST_KERNELS_H_
#define TENSORD_CORE_DEVICE_CUDA_CAST_KERNELS_H_

#include <cuda_runtime_api.h>

#include "core/device/cuda/cast_launch.h"

namespace tensord::cuda_kernels {

// Enqueue work on a stream of the current device. Thread-safe.
cudaError_t LaunchCast(const CastLaunch& launch, cudaStream_t stream);
cudaError_t LaunchGather(const GatherLaunch& launch, cudaStream_t stream);

// Whether this binary has code for the current device:
// cudaErrorNoKernelImageForDevice if not.
cudaError_t CheckDevice();

}  // namespace tensord::cuda_kernels

#endif  // TENSORD_CORE_DEVICE_CUDA_CAST_KERNELS_H_
