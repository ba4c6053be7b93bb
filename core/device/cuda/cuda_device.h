// A CUDA device as its backend keeps it: streams, events, and whether it works.
#ifndef TENSORD_CORE_DEVICE_CUDA_CUDA_DEVICE_H_
#define TENSORD_CORE_DEVICE_CUDA_CUDA_DEVICE_H_

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/device/cuda/cuda_runtime.h"
#include "core/device/device.h"
#include "core/mutex.h"

namespace tensord {

// Thread-safe. Destroyed when nothing is enqueued any more.
class CudaDevice {
 public:
  // One for each kind of work, so that transfers in both directions and kernels
  // go on side by side.
  struct Streams {
    // Allocations and frees, in order.
    CudaStream memory = nullptr;
    CudaStream upload = nullptr;
    CudaStream compute = nullptr;
    CudaStream download = nullptr;
  };

  // Errors of Check.
  static absl::StatusOr<std::shared_ptr<CudaDevice>> Open(
      std::unique_ptr<CudaRuntime> runtime);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  Device device() const {
    return {DeviceType::kCuda, runtime_->device_index()};
  }
  CudaRuntime& runtime() const { return *runtime_; }
  const Streams& streams() const { return streams_; }

  // What a call of the runtime, which was to do `what` ("copy to the device"),
  // came to: the one place where CUDA's errors become statuses.
  // RESOURCE_EXHAUSTED (DEVICE_MEMORY_EXHAUSTED); INTERNAL (DEVICE_ERROR), and
  // the device is out of service if the error lasts.
  absl::Status Check(CudaError error, std::string_view what)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // OK, or FAILED_PRECONDITION (DEVICE_OUT_OF_SERVICE).
  absl::Status health() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Lets what is enqueued in `later` from now on wait for what is in `earlier`,
  // a stream of this or another device.
  absl::Status Order(CudaStream earlier, CudaStream later,
                     CudaDevice& earlier_device);
  absl::Status Order(CudaStream earlier, CudaStream later) {
    return Order(earlier, later, *this);
  }

  // Returns when all that is in `stream` now is done.
  absl::Status WaitFor(CudaStream stream);

 private:
  // An event that nobody else uses; it may be used again as soon as what it was
  // recorded for was enqueued or waited for.
  class PooledEvent;

  explicit CudaDevice(std::unique_ptr<CudaRuntime> runtime)
      : runtime_(std::move(runtime)) {}

  absl::StatusOr<CudaEvent> TakeEvent() ABSL_LOCKS_EXCLUDED(mutex_);
  void PutEvent(CudaEvent event) ABSL_LOCKS_EXCLUDED(mutex_);

  std::unique_ptr<CudaRuntime> runtime_;
  Streams streams_;
  mutable Mutex mutex_;
  absl::Status health_ ABSL_GUARDED_BY(mutex_);
  std::vector<CudaEvent> free_events_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_CUDA_DEVICE_H_
