// A CUDA device as a device for tensors.
#ifndef TENSORD_CORE_DEVICE_CUDA_CUDA_BACKEND_H_
#define TENSORD_CORE_DEVICE_CUDA_CUDA_BACKEND_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/device/cuda/cuda_runtime.h"
#include "core/device/device_backend.h"
#include "core/parallel_for.h"

namespace tensord {

// Everything but the calls of CUDA, which `runtime` makes.
//
// Casts are done on the side of the link between host and device where
// elements are smaller: the host narrows what it sends and widens what it gets,
// or copies what keeps its size; the device does the rest. What a caller wants
// to know about every element of an upload (a report, or which value did not
// fit) the host finds out.
//
// Work goes through four streams: allocations and frees; copies to the device;
// kernels; copies from the device. An allocation is finished when Allocate
// returns, and so are reads, casts and Finish; what a writer has under way, and
// what an error left behind, is awaited by the free of the buffer, in its
// stream. Threads wait for events, asleep, and never for the whole device.
// Buffers may outlive the backend; writers may not.
//
// What the host casts and copies, if it is much, is shared by `parallel_for`,
// if there is one; it has to work as long as the backend is used. Errors of
// CudaDevice::Open.
absl::StatusOr<std::unique_ptr<DeviceBackend>> NewCudaBackend(
    std::unique_ptr<CudaRuntime> runtime, ParallelFor parallel_for = nullptr,
    std::function<absl::Time()> clock = absl::Now);

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_CUDA_BACKEND_H_
