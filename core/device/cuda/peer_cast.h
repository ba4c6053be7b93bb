// Elements on their way from one CUDA device to another.
#ifndef TENSORD_CORE_DEVICE_CUDA_PEER_CAST_H_
#define TENSORD_CORE_DEVICE_CUDA_PEER_CAST_H_

#include <cstddef>
#include <cstdint>

#include "core/device/cuda/cuda_engine.h"

namespace tensord {

// One DeviceBackend::CastFromPeer. The sender packs, and casts unless results
// are larger; what is not as it is to be goes in parts of a slot.
class PeerCast {
 public:
  // `dst` is the receiver's. `failures` is clear under Overflow::kError. All
  // that is passed has to stay.
  PeerCast(CudaEngine& sender, CudaEngine& receiver,
           const CudaElements& elements, DType to, Overflow overflow,
           std::byte* dst, CastFailures* failures);

  // To be called once. Errors of CudaDevice::Check.
  absl::Status Run();

 private:
  CudaStream LastStream() const;
  // After an error, when the receiver may still read what is the sender's.
  absl::Status Settled(const absl::Status& status);
  absl::Status SendAll();
  absl::Status CastInParts();
  absl::Status CastPart(std::int64_t begin, std::int64_t count,
                        StagingPool::Lease& out, StagingPool::Lease& in);
  absl::Status Pack(const CudaElements& elements, StagingPool::Lease& out);
  absl::Status Send(const std::byte* src, std::byte* dst, std::int64_t count);
  absl::Status Unpack(std::int64_t count, StagingPool::Lease& in,
                      std::byte* dst);

  CudaEngine& sender_;
  CudaEngine& receiver_;
  const CudaElements elements_;
  std::byte* const dst_;
  const DType to_;
  const Overflow overflow_;
  const bool sender_casts_;
  const bool receiver_casts_;
  // Whether the sender's elements need a place of their own.
  const bool packs_;
  const bool counts_;
  const std::int64_t carried_size_;
  CastFailures* const failures_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_PEER_CAST_H_
