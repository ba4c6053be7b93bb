// The calls of the CUDA runtime that the backend makes, on one device: a seam,
// so that all but these calls is tested without a GPU.
//
// Nothing here needs CUDA's headers. The calls do what the ones of CUDA that
// they are named after do, with the same rules on what may overlap.
#ifndef TENSORD_CORE_DEVICE_CUDA_CUDA_RUNTIME_H_
#define TENSORD_CORE_DEVICE_CUDA_CUDA_RUNTIME_H_

#include <cstddef>
#include <string>

#include "core/device/cuda/cast_launch.h"

namespace tensord {

// A cudaError_t. Those that the backend knows have names.
enum class CudaError : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kMemoryAllocation = 2,
  kIllegalAddress = 700,
  kLaunchFailure = 719,
};

// A cudaStream_t and a cudaEvent_t.
using CudaStream = struct CudaStreamOpaque*;
using CudaEvent = struct CudaEventOpaque*;

// One device and the pool that its buffers come from. Thread-safe. What is
// enqueued is done later, in the order of its stream; pointers have to stay
// valid until then. Streams and events belong to the device and are destroyed
// before it.
class CudaRuntime {
 public:
  virtual ~CudaRuntime() = default;

  // The N of cuda:N.
  virtual int device_index() const = 0;
  // What the hardware calls itself.
  virtual std::string device_name() const = 0;
  virtual std::size_t memory_bytes() const = 0;

  // "cudaErrorIllegalAddress: an illegal memory access was encountered".
  virtual std::string ErrorText(CudaError error) const = 0;
  // Forgets an error that does no lasting harm. What it returns tells of one
  // that does: every further call of the process on this device fails.
  virtual CudaError Probe() = 0;

  // ---- Memory ----
  // From the pool, for work that comes later in the stream. Aligned to 256.
  virtual CudaError MallocAsync(std::size_t size_bytes, CudaStream stream,
                                std::byte** address) = 0;
  virtual CudaError FreeAsync(std::byte* address, CudaStream stream) = 0;
  // Bytes that the pool has from the device, and those of them in use.
  virtual CudaError GetPoolBytes(std::size_t* reserved, std::size_t* used) = 0;
  // Gives free memory back, but for `kept_bytes` of the pool.
  virtual CudaError TrimPool(std::size_t kept_bytes) = 0;
  // Of the device, whoever uses it.
  virtual CudaError GetFreeBytes(std::size_t* free_bytes) = 0;
  // Outside of the pool, to keep.
  virtual CudaError Malloc(std::size_t size_bytes, std::byte** address) = 0;
  virtual CudaError Free(std::byte* address) = 0;
  // Page-locked memory of the host.
  virtual CudaError MallocHost(std::size_t size_bytes, std::byte** address) = 0;
  virtual CudaError FreeHost(std::byte* address) = 0;

  // ---- Streams and events ----
  // Does not wait for other streams, the default stream included.
  virtual CudaError CreateStream(CudaStream* stream) = 0;
  virtual CudaError DestroyStream(CudaStream stream) = 0;
  virtual CudaError SynchronizeStream(CudaStream stream) = 0;
  // Threads that wait for it sleep; it takes no times.
  virtual CudaError CreateEvent(CudaEvent* event) = 0;
  virtual CudaError DestroyEvent(CudaEvent event) = 0;
  virtual CudaError RecordEvent(CudaEvent event, CudaStream stream) = 0;
  // Lets the stream, of this device, wait for an event of any device.
  virtual CudaError WaitEvent(CudaStream stream, CudaEvent event) = 0;
  virtual CudaError SynchronizeEvent(CudaEvent event) = 0;

  // ---- Work ----
  // The host's side of copies is page-locked.
  virtual CudaError CopyToDevice(std::byte* dst, const std::byte* src,
                                 std::size_t size_bytes, CudaStream stream) = 0;
  virtual CudaError CopyToHost(std::byte* dst, const std::byte* src,
                               std::size_t size_bytes, CudaStream stream) = 0;
  virtual CudaError CopyOnDevice(std::byte* dst, const std::byte* src,
                                 std::size_t size_bytes, CudaStream stream) = 0;
  // `src` is on another device.
  virtual CudaError CopyFromPeer(std::byte* dst, const std::byte* src,
                                 int src_device_index, std::size_t size_bytes,
                                 CudaStream stream) = 0;
  virtual CudaError Clear(std::byte* dst, std::size_t size_bytes,
                          CudaStream stream) = 0;
  virtual CudaError LaunchCast(const CastLaunch& launch, CudaStream stream) = 0;
  virtual CudaError LaunchGather(const GatherLaunch& launch,
                                 CudaStream stream) = 0;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_CUDA_RUNTIME_H_
