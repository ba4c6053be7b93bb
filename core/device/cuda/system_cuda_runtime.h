// The CUDA runtime itself.
#ifndef TENSORD_CORE_DEVICE_CUDA_SYSTEM_CUDA_RUNTIME_H_
#define TENSORD_CORE_DEVICE_CUDA_SYSTEM_CUDA_RUNTIME_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/device/cuda/cuda_runtime.h"

namespace tensord {

// Device `index`, with a pool of its own that other devices can read where the
// machine allows. FAILED_PRECONDITION: has no pools, or this binary has no code
// for it; other errors of CUDA.
absl::StatusOr<std::unique_ptr<CudaRuntime>> OpenCudaRuntime(int index);

// Lets the first `count` devices read each other's memory that is in no pool,
// without detours where the machine allows.
void LetCudaDevicesReadEachOther(int count);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_SYSTEM_CUDA_RUNTIME_H_
