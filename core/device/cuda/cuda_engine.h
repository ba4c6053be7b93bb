// What the parts of a CUDA backend share: staging memory, and work within the
// device.
#ifndef TENSORD_CORE_DEVICE_CUDA_CUDA_ENGINE_H_
#define TENSORD_CORE_DEVICE_CUDA_CUDA_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/cast/cast.h"
#include "core/device/cuda/cast_launch.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/staging_pool.h"
#include "core/device/device_backend.h"
#include "core/mutex.h"
#include "core/parallel_for.h"

namespace tensord {

// Some elements of a view, in its C order. The view has to stay.
struct CudaElements {
  const BufferView& view;
  std::int64_t begin;
  std::int64_t count;

  // Of all elements of a view.
  static CudaElements All(const BufferView& view) {
    return {.view = view, .begin = 0, .count = ElementCount(view.layout.shape)};
  }

  std::int64_t item_size() const {
    return static_cast<std::int64_t>(ItemSize(view.dtype));
  }
  bool is_contiguous() const { return IsContiguous(view.layout); }
  // Where the `index`-th of them lies. REQUIRES: they are contiguous.
  const std::byte* Address(std::int64_t index) const {
    return view.buffer->data() +
           (view.layout.offset + begin + index) * item_size();
  }
  // The `count` from the `index`-th on.
  CudaElements Part(std::int64_t index, std::int64_t part) const {
    return {.view = view, .begin = begin + index, .count = part};
  }
};

// What elements become, and who hears of those that do not fit.
struct CudaConversion {
  DType to;
  Overflow overflow;
  // On the device; null if nobody asks.
  CastFailureRecord* record = nullptr;
};

// Whether an element may not fit.
bool MayMisfit(DType from, DType to);

// Thread-safe. All but waits is enqueued in the device's stream for computing.
// Errors of CudaDevice::Check.
class CudaEngine {
 public:
  // `parallel_for` shares work of the host, if there is one.
  CudaEngine(std::shared_ptr<CudaDevice> device, ParallelFor parallel_for);
  // Waits for what is enqueued.
  ~CudaEngine();
  CudaEngine(const CudaEngine&) = delete;
  CudaEngine& operator=(const CudaEngine&) = delete;

  CudaDevice& device() const { return *device_; }
  CudaRuntime& runtime() const { return device_->runtime(); }
  const CudaDevice::Streams& streams() const { return device_->streams(); }
  const ParallelFor& parallel_for() const { return parallel_for_; }
  // How many threads of the host to share work on so many bytes among.
  std::size_t PartCount(std::size_t size_bytes) const;

  // Whoever holds slots of both took that for a download first.
  StagingPool& uploads() { return uploads_; }
  StagingPool& downloads() { return downloads_; }
  // Page-locked memory of both.
  std::size_t pinned_bytes() const {
    return uploads_.pinned_bytes() + downloads_.pinned_bytes();
  }

  // Packs elements, cast, at `dst`, which has room. Positions in the record
  // count from the first of them.
  absl::Status Cast(const CudaElements& elements,
                    const CudaConversion& conversion, std::byte* dst)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Casts packed elements. Positions in the record count from `first_position`
  // on.
  absl::Status CastPacked(const std::byte* src, DType from, std::int64_t count,
                          std::int64_t first_position,
                          const CudaConversion& conversion, std::byte* dst);

  // Clears the record of a slot.
  absl::Status ClearRecord(StagingPool::Lease& slot);
  // Brings the record of a slot to the host, in the stream that uses the slot.
  absl::Status FetchRecord(StagingPool::Lease& slot, CudaStream stream);
  // What a record that was fetched says of elements on this device. Waits for
  // the first that did not fit, which comes to the host's side of `slot`.
  absl::StatusOr<CastFailures> ReadRecord(const CastFailureRecord& record,
                                          const CudaElements& elements,
                                          StagingPool::Lease& slot);

 private:
  absl::Status Copy(const std::byte* src, std::int64_t size_bytes,
                    std::byte* dst);
  absl::Status Gather(const CudaElements& elements, std::byte* dst);
  absl::Status CastApart(const CudaElements& elements,
                         const CudaConversion& conversion, std::byte* dst)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status MakeScratch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<CudaDevice> device_;
  const ParallelFor parallel_for_;
  StagingPool uploads_;
  StagingPool downloads_;
  // Held while work that uses the scratch memory is enqueued: it is used by one
  // cast after the other, in the order of the stream.
  Mutex mutex_;
  std::byte* scratch_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_CUDA_ENGINE_H_
