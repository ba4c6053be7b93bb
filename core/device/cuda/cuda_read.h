// Elements on their way from a CUDA device to the host.
#ifndef TENSORD_CORE_DEVICE_CUDA_CUDA_READ_H_
#define TENSORD_CORE_DEVICE_CUDA_CUDA_READ_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "core/cast/packed_cast.h"
#include "core/device/cuda/cuda_engine.h"

namespace tensord {

// One DeviceBackend::ReadToHost: in parts of a slot, some of which are on their
// way, narrowed, while the host takes the first, and widens it.
class CudaRead {
 public:
  // `failures` is clear under Overflow::kError. All that is passed has to stay.
  CudaRead(CudaEngine& engine, const CudaElements& elements, DType to,
           ByteOrder to_order, Overflow overflow, std::byte* dst,
           CastFailures* failures);

  // To be called once. Errors of CudaDevice::Check.
  absl::Status Run();

 private:
  // Elements of the read.
  struct Range {
    std::int64_t begin;
    std::int64_t count;
  };
  struct Part {
    Range range;
    StagingPool::Lease slot;
  };

  // Enqueues what brings a part to the host.
  absl::Status Request(Range range);
  // Waits for nobody else's slot while it has one.
  absl::StatusOr<StagingPool::Lease> FindSlot();
  absl::Status Fetch(Part& part);
  absl::Status CastToSlot(Part& part);
  // Waits for the oldest part and hands it to the caller.
  absl::Status TakeOldest();
  absl::Status Take(Part& part);
  void CastOnHost(const Part& part, CastFailures* failures);

  CudaEngine& engine_;
  const CudaElements elements_;
  std::byte* const dst_;
  const std::int64_t to_size_;
  const bool casts_on_device_;
  // What comes over the link.
  const DType carried_;
  const std::int64_t carried_size_;
  const bool counts_on_device_;
  const Overflow overflow_;
  const bool streamed_;
  const PackedCast host_cast_;
  CastFailures* const failures_;
  // On their way, the oldest first.
  std::deque<Part> parts_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_CUDA_READ_H_
