// Buffers on a CUDA device.
#ifndef TENSORD_CORE_DEVICE_CUDA_CUDA_MEMORY_H_
#define TENSORD_CORE_DEVICE_CUDA_CUDA_MEMORY_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/device_backend.h"
#include "core/memory/buffer.h"
#include "core/mutex.h"

namespace tensord {

// Takes memory from the device's pool, which keeps what comes back, so that the
// driver need not be asked each time. Thread-safe; buffers keep it alive.
class CudaMemory : public std::enable_shared_from_this<CudaMemory> {
 public:
  static std::shared_ptr<CudaMemory> Make(std::shared_ptr<CudaDevice> device,
                                          std::function<absl::Time()> clock);

  // A buffer that any stream may use. It is freed when the last pointer goes,
  // without waiting, after all that is enqueued by then. Errors of
  // CudaOutOfMemory and CudaDevice.
  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(std::size_t size_bytes);

  DeviceBackend::PoolStats stats() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Gives back what was not needed in the last `idle`.
  void Trim(absl::Duration idle) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Allocation;

  CudaMemory(std::shared_ptr<CudaDevice> device,
             std::function<absl::Time()> clock);

  absl::Status Take(std::size_t size_bytes, std::byte** address);
  absl::Status OutOfMemory(std::size_t size_bytes);
  void Free(std::byte* address);
  // Adds to the bytes in use.
  void Count(std::size_t size_bytes) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<CudaDevice> device_;
  const std::function<absl::Time()> clock_;
  mutable Mutex mutex_;
  std::size_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // The most that was in use since a trim, and when.
  std::size_t peak_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time peak_time_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_CUDA_MEMORY_H_
