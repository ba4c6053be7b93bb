// The kernels' code, run by the host.
#ifndef TENSORD_TESTS_CORE_DEVICE_CUDA_HOST_KERNELS_H_
#define TENSORD_TESTS_CORE_DEVICE_CUDA_HOST_KERNELS_H_

#include "core/device/cuda/cast_launch.h"

namespace tensord::testing {

// Do what every thread of the kernel's grid would, one after the other.
void RunCast(const CastLaunch& launch);
void RunGather(const GatherLaunch& launch);

}  // namespace tensord::testing

#endif  // TENSORD_TESTS_CORE_DEVICE_CUDA_HOST_KERNELS_H_
