#include "core/device/cuda/cuda_read.h"

#include <algorithm>
#include <utility>

#include "core/cast/cast_parts.h"

namespace tensord {
namespace {

// Slots that one read may have on their way.
constexpr std::size_t kReadAhead = 3;

}  // namespace

CudaRead::CudaRead(CudaEngine& engine, const CudaElements& elements, DType to,
                   ByteOrder to_order, Overflow overflow, std::byte* dst,
                   CastFailures* failures)
    : engine_(engine),
      elements_(elements),
      dst_(dst),
      to_size_(static_cast<std::int64_t>(ItemSize(to))),
      casts_on_device_(to_size_ < elements.item_size()),
      carried_(casts_on_device_ ? to : elements.view.dtype),
      carried_size_(static_cast<std::int64_t>(ItemSize(carried_))),
      counts_on_device_(casts_on_device_ && overflow == Overflow::kError &&
                        MayMisfit(elements.view.dtype, to)),
      overflow_(overflow),
      streamed_(elements.count * to_size_ >=
                static_cast<std::int64_t>(kMinStreamedBytes)),
      host_cast_(carried_, ByteOrder::kLittle, to, to_order,
                 casts_on_device_ ? Overflow::kTorch : overflow),
      failures_(failures) {}

absl::Status CudaRead::Run() {
  const std::int64_t step =
      static_cast<std::int64_t>(StagingPool::kSlotBytes) / carried_size_;
  absl::Status status;
  for (std::int64_t done = 0; done < elements_.count && status.ok();
       done += step) {
    status = Request(
        {.begin = done, .count = std::min(step, elements_.count - done)});
  }
  while (status.ok() && !parts_.empty()) status = TakeOldest();
  return status;
}

absl::Status CudaRead::Request(Range range) {
  absl::StatusOr<StagingPool::Lease> slot = FindSlot();
  if (!slot.ok()) return slot.status();
  parts_.push_back({range, *std::move(slot)});
  return Fetch(parts_.back());
}

absl::StatusOr<StagingPool::Lease> CudaRead::FindSlot() {
  while (!parts_.empty()) {
    if (parts_.size() < kReadAhead) {
      if (auto slot = engine_.downloads().TryAcquire()) return *std::move(slot);
    }
    absl::Status status = TakeOldest();
    if (!status.ok()) return status;
  }
  return engine_.downloads().Acquire();
}

absl::Status CudaRead::Fetch(Part& part) {
  const CudaDevice::Streams& streams = engine_.streams();
  const bool is_packed = casts_on_device_ || !elements_.is_contiguous();
  if (is_packed) {
    absl::Status status = CastToSlot(part);
    if (!status.ok()) return status;
  }
  part.slot.UsedBy(streams.download);
  absl::Status status = engine_.device().Check(
      engine_.runtime().CopyToHost(
          part.slot.host(),
          is_packed ? part.slot.device() : elements_.Address(part.range.begin),
          static_cast<std::size_t>(part.range.count * carried_size_),
          streams.download),
      "copy from the device");
  if (status.ok() && counts_on_device_) {
    status = engine_.FetchRecord(part.slot, streams.download);
  }
  return status.ok() ? part.slot.Record() : status;
}

absl::Status CudaRead::CastToSlot(Part& part) {
  const CudaDevice::Streams& streams = engine_.streams();
  CudaConversion conversion{.to = carried_, .overflow = overflow_};
  part.slot.UsedBy(streams.compute);
  absl::Status status;
  if (counts_on_device_) {
    status = engine_.ClearRecord(part.slot);
    conversion.record = part.slot.device_record();
  }
  if (status.ok()) {
    status = engine_.Cast(elements_.Part(part.range.begin, part.range.count),
                          conversion, part.slot.device());
  }
  return status.ok() ? engine_.device().Order(streams.compute, streams.download)
                     : status;
}

absl::Status CudaRead::TakeOldest() {
  Part& part = parts_.front();
  absl::Status status = part.slot.Wait();
  if (status.ok()) status = Take(part);
  parts_.pop_front();
  return status;
}

absl::Status CudaRead::Take(Part& part) {
  CastFailures found;
  CastOnHost(part, &found);
  if (counts_on_device_) {
    auto failures = engine_.ReadRecord(
        *part.slot.host_record(),
        elements_.Part(part.range.begin, part.range.count), part.slot);
    if (!failures.ok()) return failures.status();
    found = *std::move(failures);
  }
  if (found.count > 0) {
    failures_->Merge(found, static_cast<std::uint64_t>(part.range.begin));
  }
  return absl::OkStatus();
}

void CudaRead::CastOnHost(const Part& part, CastFailures* failures) {
  std::byte* const dst = dst_ + part.range.begin * to_size_;
  const auto cast = [&](std::int64_t begin, std::int64_t count,
                        CastFailures* found) {
    host_cast_.Run(part.slot.host() + begin * carried_size_,
                   dst + begin * to_size_, static_cast<std::size_t>(count),
                   streamed_, found);
    if (streamed_) FinishStreaming();
  };
  const std::size_t parts =
      engine_.PartCount(static_cast<std::size_t>(part.range.count * to_size_));
  if (parts < 2) return cast(0, part.range.count, failures);
  CastInParts(engine_.parallel_for(), part.range.count, parts, cast, failures);
}

}  // namespace tensord
