#include "core/device/cuda/cuda_writer.h"

#include <utility>

#include "core/cast/cast_parts.h"

namespace tensord {
namespace {

bool IsLookedAt(const CastStream::Options& conversion) {
  return conversion.report || (conversion.overflow == Overflow::kError &&
                               MayMisfit(conversion.from, conversion.to));
}

// What is left for the host to do.
CastStream::Options OnHost(CastStream::Options conversion,
                           bool casts_on_device) {
  if (casts_on_device) {
    conversion.to = conversion.from;
    conversion.overflow = Overflow::kTorch;
  }
  return conversion;
}

}  // namespace

CudaWriter::CudaWriter(CudaEngine& engine, std::shared_ptr<Buffer> buffer,
                       std::int64_t begin,
                       const CastStream::Options& conversion)
    : engine_(engine),
      buffer_(std::move(buffer)),
      from_(conversion.from),
      to_(conversion.to),
      overflow_(conversion.overflow),
      is_looked_at_(IsLookedAt(conversion)),
      casts_on_device_(ItemSize(to_) > ItemSize(from_) && !is_looked_at_),
      staged_size_(ItemSize(casts_on_device_ ? from_ : to_)),
      to_size_(ItemSize(to_)),
      stream_(OnHost(conversion, casts_on_device_)),
      host_cast_(from_, conversion.from_order, casts_on_device_ ? from_ : to_,
                 ByteOrder::kLittle, overflow_),
      position_(static_cast<std::size_t>(begin)) {}

absl::Status CudaWriter::Write(absl::Span<const std::byte> piece) {
  absl::Status status =
      CheckRoom(position_ + staged_elements_ +
                    stream_.OutputBytes(piece.size()) / staged_size_,
                to_, *buffer_);
  while (status.ok() && !piece.empty()) status = Stage(piece);
  return status;
}

absl::Status CudaWriter::Flush() {
  absl::Status status = staged_elements_ > 0 ? Send() : absl::OkStatus();
  slot_.reset();
  return status;
}

absl::Status CudaWriter::Finish(CastFailures* failures) {
  absl::Status status = engine_.device().health();
  if (status.ok()) status = Flush();
  if (status.ok()) status = engine_.device().WaitFor(LastStream());
  if (status.ok() && overflow_ == Overflow::kError) {
    *failures = stream_.failures();
  }
  return status;
}

CudaStream CudaWriter::LastStream() const {
  return casts_on_device_ ? engine_.streams().compute
                          : engine_.streams().upload;
}

absl::Status CudaWriter::Stage(absl::Span<const std::byte>& piece) {
  if (!slot_.has_value()) {
    absl::Status health = engine_.device().health();
    if (!health.ok()) return health;
    absl::StatusOr<StagingPool::Lease> slot = engine_.uploads().Acquire();
    if (!slot.ok()) return slot.status();
    slot_.emplace(*std::move(slot));
  }
  const std::size_t capacity = StagingPool::kSlotBytes / staged_size_;
  const auto taken =
      piece.subspan(0, (capacity - staged_elements_) * ItemSize(from_));
  staged_elements_ += Convert(taken);
  piece.remove_prefix(taken.size());
  return staged_elements_ == capacity ? Flush() : absl::OkStatus();
}

std::size_t CudaWriter::Convert(absl::Span<const std::byte> bytes) {
  std::byte* const dst = slot_->host() + staged_elements_ * staged_size_;
  const std::size_t parts = engine_.PartCount(bytes.size());
  if (parts < 2 || is_looked_at_ || stream_.HasPartialElement()) {
    return stream_.Convert(bytes, dst) / staged_size_;
  }
  const std::size_t from_size = ItemSize(from_);
  const std::size_t count = bytes.size() / from_size;
  CastFailures none;
  CastInParts(
      engine_.parallel_for(), static_cast<std::int64_t>(count), parts,
      [&](std::int64_t begin, std::int64_t part, CastFailures* found) {
        const auto first = static_cast<std::size_t>(begin);
        host_cast_.Run(
            bytes.data() + first * from_size, dst + first * staged_size_,
            static_cast<std::size_t>(part), /*streamed=*/false, found);
      },
      &none);
  // The start of an element.
  stream_.Convert(bytes.subspan(count * from_size), nullptr);
  return count;
}

absl::Status CudaWriter::Send() {
  CudaDevice& device = engine_.device();
  const CudaDevice::Streams& streams = engine_.streams();
  std::byte* const final_place = buffer_->data() + position_ * to_size_;
  const std::size_t count = std::exchange(staged_elements_, 0);
  position_ += count;
  slot_->UsedBy(streams.upload);
  absl::Status status =
      device.Check(engine_.runtime().CopyToDevice(
                       casts_on_device_ ? slot_->device() : final_place,
                       slot_->host(), count * staged_size_, streams.upload),
                   "copy to the device");
  if (!status.ok() || !casts_on_device_) return status;
  status = device.Order(streams.upload, streams.compute);
  if (!status.ok()) return status;
  slot_->UsedBy(streams.compute);
  return engine_.CastPacked(slot_->device(), from_,
                            static_cast<std::int64_t>(count), 0,
                            {.to = to_, .overflow = overflow_}, final_place);
}

}  // namespace tensord
