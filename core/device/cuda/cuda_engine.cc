#include "core/device/cuda/cuda_engine.h"

#include <algorithm>
#include <utility>

#include "core/cast/cast_table.h"
#include "core/cast/element_text.h"
#include "core/cast/joined_layout.h"

namespace tensord {
namespace {

// Of each direction: some are filled or emptied while others are on their way.
constexpr std::size_t kStagingSlots = 8;
// What is worth another thread of the host.
constexpr std::size_t kPartBytes = std::size_t{512} << 10;
// What elements that lie apart are packed in, before they are cast.
constexpr std::size_t kScratchBytes = std::size_t{16} << 20;

// Where the `index`-th of elements in any layout lies.
const std::byte* AddressInLayout(const CudaElements& elements,
                                 std::int64_t index) {
  const JoinedLayout layout(elements.view.layout);
  const std::int64_t position =
      layout.offset() +
      layout.Distance(0, layout.rank(), elements.begin + index);
  return elements.view.buffer->data() + position * elements.item_size();
}

GatherLaunch MakeGather(const CudaElements& elements, std::byte* dst) {
  const JoinedLayout layout(elements.view.layout);
  GatherLaunch launch{};
  launch.item_size = static_cast<std::uint32_t>(elements.item_size());
  launch.rank = static_cast<std::uint32_t>(layout.rank());
  launch.src =
      elements.view.buffer->data() + layout.offset() * elements.item_size();
  launch.dst = dst;
  launch.begin = static_cast<std::uint64_t>(elements.begin);
  launch.count = static_cast<std::uint64_t>(elements.count);
  launch.total = static_cast<std::uint64_t>(layout.Count(0, layout.rank()));
  for (std::size_t i = 0; i < layout.rank(); ++i) {
    launch.shape[i] = layout.shape(i);
    launch.strides[i] = layout.stride(i);
  }
  return launch;
}

}  // namespace

bool MayMisfit(DType from, DType to) {
  return ActiveCastTable().Find(from, to).count_misfits != nullptr;
}

CudaEngine::CudaEngine(std::shared_ptr<CudaDevice> device,
                       ParallelFor parallel_for)
    : device_(std::move(device)),
      parallel_for_(std::move(parallel_for)),
      uploads_(*device_, kStagingSlots),
      downloads_(*device_, kStagingSlots) {}

CudaEngine::~CudaEngine() {
  // Nobody is left to tell of errors.
  for (CudaStream const stream :
       {streams().upload, streams().compute, streams().download}) {
    device_->WaitFor(stream).IgnoreError();
  }
  if (scratch_ != nullptr) runtime().Free(scratch_);
}

std::size_t CudaEngine::PartCount(std::size_t size_bytes) const {
  return parallel_for_ == nullptr
             ? 1
             : std::max<std::size_t>(size_bytes / kPartBytes, 1);
}

absl::Status CudaEngine::Cast(const CudaElements& elements,
                              const CudaConversion& conversion,
                              std::byte* dst) {
  if (elements.count == 0) return absl::OkStatus();
  const bool copies = elements.view.dtype == conversion.to;
  if (!elements.is_contiguous()) {
    return copies ? Gather(elements, dst)
                  : CastApart(elements, conversion, dst);
  }
  const std::byte* const src = elements.Address(0);
  return copies ? Copy(src, elements.count * elements.item_size(), dst)
                : CastPacked(src, elements.view.dtype, elements.count, 0,
                             conversion, dst);
}

absl::Status CudaEngine::CastPacked(const std::byte* src, DType from,
                                    std::int64_t count,
                                    std::int64_t first_position,
                                    const CudaConversion& conversion,
                                    std::byte* dst) {
  return device_->Check(
      runtime().LaunchCast(
          {.from = from,
           .to = conversion.to,
           .overflow = conversion.overflow,
           .src = src,
           .dst = dst,
           .count = static_cast<std::uint64_t>(count),
           .first_position = static_cast<std::uint64_t>(first_position),
           .failures = conversion.record},
          streams().compute),
      "launch of a cast");
}

absl::Status CudaEngine::ClearRecord(StagingPool::Lease& slot) {
  slot.UsedBy(streams().compute);
  return device_->Check(
      runtime().Clear(reinterpret_cast<std::byte*>(slot.device_record()),
                      sizeof(CastFailureRecord), streams().compute),
      "clearing of memory");
}

absl::Status CudaEngine::FetchRecord(StagingPool::Lease& slot,
                                     CudaStream stream) {
  return device_->Check(
      runtime().CopyToHost(
          reinterpret_cast<std::byte*>(slot.host_record()),
          reinterpret_cast<const std::byte*>(slot.device_record()),
          sizeof(CastFailureRecord), stream),
      "copy from the device");
}

absl::StatusOr<CastFailures> CudaEngine::ReadRecord(
    const CastFailureRecord& record, const CudaElements& elements,
    StagingPool::Lease& slot) {
  CastFailures failures;
  failures.count = record.count;
  if (failures.count == 0) return failures;
  failures.first_index = ~record.inverted_first;
  const auto first = static_cast<std::int64_t>(failures.first_index);
  slot.UsedBy(streams().download);
  absl::Status status = device_->Check(
      runtime().CopyToHost(slot.host(), AddressInLayout(elements, first),
                           ItemSize(elements.view.dtype), streams().download),
      "copy from the device");
  if (status.ok()) status = slot.Wait();
  if (!status.ok()) return status;
  failures.first_value = ElementText(elements.view.dtype, slot.host());
  return failures;
}

absl::Status CudaEngine::Copy(const std::byte* src, std::int64_t size_bytes,
                              std::byte* dst) {
  return device_->Check(
      runtime().CopyOnDevice(dst, src, static_cast<std::size_t>(size_bytes),
                             streams().compute),
      "copy within the device");
}

absl::Status CudaEngine::Gather(const CudaElements& elements, std::byte* dst) {
  return device_->Check(
      runtime().LaunchGather(MakeGather(elements, dst), streams().compute),
      "launch of a copy");
}

absl::Status CudaEngine::CastApart(const CudaElements& elements,
                                   const CudaConversion& conversion,
                                   std::byte* dst) {
  const std::int64_t step =
      static_cast<std::int64_t>(kScratchBytes) / elements.item_size();
  const auto to_size = static_cast<std::int64_t>(ItemSize(conversion.to));
  for (std::int64_t done = 0; done < elements.count; done += step) {
    const std::int64_t count = std::min(step, elements.count - done);
    MutexLock lock(mutex_);
    absl::Status status = MakeScratch();
    if (status.ok()) status = Gather(elements.Part(done, count), scratch_);
    if (status.ok()) {
      status = CastPacked(scratch_, elements.view.dtype, count, done,
                          conversion, dst + done * to_size);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CudaEngine::MakeScratch() {
  if (scratch_ != nullptr) return absl::OkStatus();
  return device_->Check(runtime().Malloc(kScratchBytes, &scratch_),
                        "allocation of scratch memory");
}

}  // namespace tensord
