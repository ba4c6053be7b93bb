// Elements on their way from the host to a CUDA device.
#ifndef TENSORD_CORE_DEVICE_CUDA_CUDA_WRITER_H_
#define TENSORD_CORE_DEVICE_CUDA_CUDA_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/cast/cast_stream.h"
#include "core/cast/packed_cast.h"
#include "core/device/cuda/cuda_engine.h"
#include "core/device/device_backend.h"

namespace tensord {

// Fills a slot of the engine at a time, narrowed, and sends it while the next
// is filled; the device widens what has arrived. Holds a slot from a Write to
// the next Flush. The engine has to stay.
class CudaWriter final : public BufferWriter {
 public:
  // As for DeviceBackend::NewWriter.
  CudaWriter(CudaEngine& engine, std::shared_ptr<Buffer> buffer,
             std::int64_t begin, const CastStream::Options& conversion);

  absl::Status Write(absl::Span<const std::byte> piece) override;
  absl::Status Flush() override;
  absl::Status Finish(CastFailures* failures) override;
  ConversionReport report() const override { return stream_.report(); }

 private:
  CudaStream LastStream() const;
  // Takes as much of `piece` as a slot has room for.
  absl::Status Stage(absl::Span<const std::byte>& piece);
  // Puts elements in the slot. Returns how many became complete.
  std::size_t Convert(absl::Span<const std::byte> bytes);
  absl::Status Send();

  CudaEngine& engine_;
  const std::shared_ptr<Buffer> buffer_;
  const DType from_;
  const DType to_;
  const Overflow overflow_;
  // Whether somebody wants to know what becomes of each element.
  const bool is_looked_at_;
  const bool casts_on_device_;
  // Of an element in a slot, and in the buffer.
  const std::size_t staged_size_;
  const std::size_t to_size_;
  // What the host does, for pieces of any size and for many elements that need
  // no looking at.
  CastStream stream_;
  const PackedCast host_cast_;
  // Elements of the buffer before those in the slot.
  std::size_t position_;
  std::optional<StagingPool::Lease> slot_;
  std::size_t staged_elements_ = 0;
};

}  // namespace tensord

#endif  // TENSORD_CORE_DEVICE_CUDA_CUDA_WRITER_H_
