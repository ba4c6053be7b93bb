#include "core/device/cuda/cuda_backend.h"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "core/cast/cast_parts.h"
#include "core/cast/cast_table.h"
#include "core/cast/element_text.h"
#include "core/cast/joined_layout.h"
#include "core/cast/packed_cast.h"
#include "core/device/cuda/cuda_device.h"
#include "core/device/cuda/cuda_memory.h"
#include "core/device/cuda/staging_pool.h"
#include "core/error.h"

namespace tensord {
namespace {

// Of each direction: some are filled or emptied while others are on their way.
constexpr std::size_t kStagingSlots = 8;
// Slots that one read may have on their way.
constexpr std::size_t kReadAhead = 3;
// What the pool has from the start.
constexpr std::size_t kWarmBytes = std::size_t{32} << 20;
// What is worth another thread of the host.
constexpr std::size_t kPartBytes = std::size_t{512} << 10;
// What elements that lie apart are packed in, before they are cast.
constexpr std::size_t kScratchBytes = std::size_t{16} << 20;

absl::Status Overrun() {
  return MakeError(absl::StatusCode::kInternal, reason::kInternal,
                   "elements do not fit in the buffer that was made for them");
}

bool MayMisfit(DType from, DType to) {
  return ActiveCastTable().Find(from, to).count_misfits != nullptr;
}

// Some elements of a view, in its C order.
struct Elements {
  const BufferView& view;
  std::int64_t begin;
  std::int64_t count;

  std::int64_t item_size() const {
    return static_cast<std::int64_t>(ItemSize(view.dtype));
  }
  const std::byte* base() const { return view.buffer->data(); }
};

// Where an element of a view, which has some, lies.
const std::byte* ElementAddress(const BufferView& view, std::int64_t index) {
  const JoinedLayout layout(view.layout);
  const std::int64_t position =
      layout.offset() + layout.Distance(0, layout.rank(), index);
  return view.buffer->data() +
         position * static_cast<std::int64_t>(ItemSize(view.dtype));
}

GatherLaunch MakeGather(const Elements& elements, std::byte* dst) {
  const JoinedLayout layout(elements.view.layout);
  GatherLaunch launch;
  launch.item_size = static_cast<std::uint32_t>(elements.item_size());
  launch.rank = static_cast<std::uint32_t>(layout.rank());
  launch.src = elements.base() + layout.offset() * elements.item_size();
  launch.dst = dst;
  launch.begin = static_cast<std::uint64_t>(elements.begin);
  launch.count = static_cast<std::uint64_t>(elements.count);
  for (std::size_t i = 0; i < layout.rank(); ++i) {
    launch.shape[i] = layout.shape(i);
    launch.strides[i] = layout.stride(i);
  }
  return launch;
}

// Elements on their way from one dtype to another, and who hears of those that
// do not fit.
struct Conversion {
  DType to;
  Overflow overflow;
  // On the device; null if nobody asks.
  CastFailureRecord* record = nullptr;
};

// Enqueues kernels and copies within one device. Thread-safe.
class Kernels {
 public:
  explicit Kernels(CudaDevice& device) : device_(device) {}
  // REQUIRES: the device is done with it.
  ~Kernels() {
    if (scratch_ != nullptr) device_.runtime().Free(scratch_);
  }
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;

  // Packs elements, cast, at `dst`. Positions in the record count from the
  // first of them. Errors of Check.
  absl::Status Cast(const Elements& elements, const Conversion& conversion,
                    std::byte* dst) ABSL_LOCKS_EXCLUDED(mutex_) {
    if (elements.count == 0) return absl::OkStatus();
    const bool copies = elements.view.dtype == conversion.to;
    if (IsContiguous(elements.view.layout)) {
      const std::byte* const src =
          elements.base() +
          (elements.view.layout.offset + elements.begin) * elements.item_size();
      return copies ? Copy(src, elements.count * elements.item_size(), dst)
                    : CastPacked(src, elements.view.dtype, elements.count, 0,
                                 conversion, dst);
    }
    if (copies) return Gather(MakeGather(elements, dst));
    return CastApart(elements, conversion, dst);
  }

  // Casts packed elements. Positions in the record count from
  // `first_position` on. Errors of Check.
  absl::Status CastPacked(const std::byte* src, DType from, std::int64_t count,
                          std::int64_t first_position,
                          const Conversion& conversion, std::byte* dst) {
    return device_.Check(
        device_.runtime().LaunchCast(
            {.from = from,
             .to = conversion.to,
             .overflow = conversion.overflow,
             .src = src,
             .dst = dst,
             .count = static_cast<std::uint64_t>(count),
             .first_position = static_cast<std::uint64_t>(first_position),
             .failures = conversion.record},
            device_.streams().compute),
        "launch of a cast");
  }

 private:
  absl::Status Copy(const std::byte* src, std::int64_t size_bytes,
                    std::byte* dst) {
    return device_.Check(device_.runtime().CopyOnDevice(
                             dst, src, static_cast<std::size_t>(size_bytes),
                             device_.streams().compute),
                         "copy within the device");
  }

  absl::Status Gather(const GatherLaunch& launch) {
    return device_.Check(
        device_.runtime().LaunchGather(launch, device_.streams().compute),
        "launch of a copy");
  }

  // In two steps. The scratch memory is used by one cast after the other, in
  // the order of the stream.
  absl::Status CastApart(const Elements& elements, const Conversion& conversion,
                         std::byte* dst) {
    const std::int64_t step =
        static_cast<std::int64_t>(kScratchBytes) / elements.item_size();
    const auto to_size = static_cast<std::int64_t>(ItemSize(conversion.to));
    for (std::int64_t done = 0; done < elements.count; done += step) {
      const Elements part{.view = elements.view,
                          .begin = elements.begin + done,
                          .count = std::min(step, elements.count - done)};
      MutexLock lock(mutex_);
      absl::Status status = MakeScratch();
      if (status.ok()) status = Gather(MakeGather(part, scratch_));
      if (status.ok()) {
        status = CastPacked(scratch_, elements.view.dtype, part.count, done,
                            conversion, dst + done * to_size);
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status MakeScratch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (scratch_ != nullptr) return absl::OkStatus();
    return device_.Check(device_.runtime().Malloc(kScratchBytes, &scratch_),
                         "allocation of scratch memory");
  }

  CudaDevice& device_;
  Mutex mutex_;
  std::byte* scratch_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

// All that works with a device, and goes before it.
struct Engine {
  Engine(std::shared_ptr<CudaDevice> opened, ParallelFor shares)
      : device(std::move(opened)),
        parallel_for(std::move(shares)),
        uploads(*device, kStagingSlots),
        downloads(*device, kStagingSlots),
        kernels(*device) {}
  ~Engine() {
    // Nobody is left to tell of errors.
    for (CudaStream const stream :
         {device->streams().upload, device->streams().compute,
          device->streams().download}) {
      device->WaitFor(stream).IgnoreError();
    }
  }

  CudaRuntime& runtime() const { return device->runtime(); }
  const CudaDevice::Streams& streams() const { return device->streams(); }

  std::shared_ptr<CudaDevice> device;
  // Null if the host works alone.
  ParallelFor parallel_for;
  // Whoever holds slots of both took that for a download first.
  StagingPool uploads;
  StagingPool downloads;
  Kernels kernels;
};

// How many threads of the host to share work on so many bytes among.
std::size_t PartCount(const Engine& engine, std::size_t size_bytes) {
  return engine.parallel_for == nullptr
             ? 1
             : std::max<std::size_t>(size_bytes / kPartBytes, 1);
}

// Clears the record of a slot, in the stream of kernels, which has the slot
// then.
absl::Status ClearRecord(Engine& engine, StagingPool::Lease& lease) {
  lease.UsedBy(engine.streams().compute);
  return engine.device->Check(
      engine.runtime().Clear(
          reinterpret_cast<std::byte*>(lease.device_record()),
          sizeof(CastFailureRecord), engine.streams().compute),
      "clearing of memory");
}

// Brings the record of a slot to the host. The slot is in use by `stream`.
absl::Status FetchRecord(Engine& engine, StagingPool::Lease& lease,
                         CudaStream stream) {
  return engine.device->Check(
      engine.runtime().CopyToHost(
          reinterpret_cast<std::byte*>(lease.host_record()),
          reinterpret_cast<const std::byte*>(lease.device_record()),
          sizeof(CastFailureRecord), stream),
      "copy from the device");
}

// What a record says of elements of `view`, which `engine` has, from `begin`
// on. Uses the host side of `slot`, of the same engine.
absl::StatusOr<CastFailures> ReadRecord(Engine& engine,
                                        const CastFailureRecord& record,
                                        const BufferView& view,
                                        std::int64_t begin,
                                        StagingPool::Lease& slot) {
  CastFailures failures;
  failures.count = record.count;
  if (failures.count == 0) return failures;
  failures.first_index = ~record.inverted_first;
  slot.UsedBy(engine.streams().download);
  absl::Status status = engine.device->Check(
      engine.runtime().CopyToHost(
          slot.host(),
          ElementAddress(
              view, begin + static_cast<std::int64_t>(failures.first_index)),
          ItemSize(view.dtype), engine.streams().download),
      "copy from the device");
  if (status.ok()) status = slot.Wait();
  if (!status.ok()) return status;
  failures.first_value = ElementText(view.dtype, slot.host());
  return failures;
}

class CudaWriter final : public BufferWriter {
 public:
  CudaWriter(Engine& engine, std::shared_ptr<Buffer> buffer, std::int64_t begin,
             const CastStream::Options& conversion)
      : engine_(engine),
        buffer_(std::move(buffer)),
        from_(conversion.from),
        to_(conversion.to),
        overflow_(conversion.overflow),
        casts_on_device_(CastsOnDevice(conversion)),
        is_looked_at_(IsLookedAt(conversion)),
        stream_(OnHost(conversion, casts_on_device_)),
        host_cast_(conversion.from, conversion.from_order,
                   casts_on_device_ ? from_ : to_, ByteOrder::kLittle,
                   overflow_),
        staged_size_(ItemSize(casts_on_device_ ? from_ : to_)),
        to_size_(ItemSize(to_)),
        position_(static_cast<std::size_t>(begin)) {}

  absl::Status Write(absl::Span<const std::byte> piece) override {
    if (stream_.OutputBytes(piece.size()) / staged_size_ + staged_elements_ >
        buffer_->size_bytes() / to_size_ - position_) {
      return Overrun();
    }
    while (!piece.empty()) {
      absl::Status status = Stage(piece);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Flush() override {
    absl::Status status = staged_elements_ > 0 ? Send() : absl::OkStatus();
    slot_.reset();
    return status;
  }

  absl::Status Finish(CastFailures* failures) override {
    absl::Status status = engine_.device->health();
    if (status.ok()) status = Flush();
    if (status.ok()) status = engine_.device->WaitFor(LastStream());
    if (status.ok() && overflow_ == Overflow::kError) {
      *failures = stream_.failures();
    }
    return status;
  }

  ConversionReport report() const override { return stream_.report(); }

 private:
  // Whether somebody wants to know what becomes of each element.
  static bool IsLookedAt(const CastStream::Options& conversion) {
    return conversion.report || (conversion.overflow == Overflow::kError &&
                                 MayMisfit(conversion.from, conversion.to));
  }

  static bool CastsOnDevice(const CastStream::Options& conversion) {
    return ItemSize(conversion.to) > ItemSize(conversion.from) &&
           !IsLookedAt(conversion);
  }

  // What is left for the host to do.
  static CastStream::Options OnHost(CastStream::Options conversion,
                                    bool casts_on_device) {
    if (casts_on_device) {
      conversion.to = conversion.from;
      conversion.overflow = Overflow::kTorch;
    }
    return conversion;
  }

  CudaStream LastStream() const {
    return casts_on_device_ ? engine_.streams().compute
                            : engine_.streams().upload;
  }

  // Takes as much of `piece` as a slot has room for.
  absl::Status Stage(absl::Span<const std::byte>& piece) {
    if (!slot_.has_value()) {
      if (absl::Status health = engine_.device->health(); !health.ok()) {
        return health;
      }
      absl::StatusOr<StagingPool::Lease> lease = engine_.uploads.Acquire();
      if (!lease.ok()) return lease.status();
      slot_.emplace(*std::move(lease));
    }
    const std::size_t capacity = StagingPool::kSlotBytes / staged_size_;
    const auto taken =
        piece.subspan(0, (capacity - staged_elements_) * ItemSize(from_));
    staged_elements_ += Convert(taken);
    piece.remove_prefix(taken.size());
    return staged_elements_ == capacity ? Flush() : absl::OkStatus();
  }

  // Returns how many elements became complete.
  std::size_t Convert(absl::Span<const std::byte> bytes) {
    std::byte* const dst = slot_->host() + staged_elements_ * staged_size_;
    const std::size_t parts = PartCount(engine_, bytes.size());
    const std::size_t from_size = ItemSize(from_);
    const std::size_t count = bytes.size() / from_size;
    if (parts < 2 || is_looked_at_ || stream_.HasPartialElement()) {
      return stream_.Convert(bytes, dst) / staged_size_;
    }
    CastFailures none;
    CastInParts(
        engine_.parallel_for, static_cast<std::int64_t>(count), parts,
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

  absl::Status Send() {
    CudaDevice& device = *engine_.device;
    const CudaDevice::Streams& streams = engine_.streams();
    std::byte* const final_place = buffer_->data() + position_ * to_size_;
    slot_->UsedBy(streams.upload);
    absl::Status status = device.Check(
        engine_.runtime().CopyToDevice(
            casts_on_device_ ? slot_->device() : final_place, slot_->host(),
            staged_elements_ * staged_size_, streams.upload),
        "copy to the device");
    if (status.ok() && casts_on_device_) {
      status = device.Order(streams.upload, streams.compute);
      if (status.ok()) {
        slot_->UsedBy(streams.compute);
        status = engine_.kernels.CastPacked(
            slot_->device(), from_, static_cast<std::int64_t>(staged_elements_),
            0, {.to = to_, .overflow = overflow_}, final_place);
      }
    }
    position_ += staged_elements_;
    staged_elements_ = 0;
    return status;
  }

  Engine& engine_;
  const std::shared_ptr<Buffer> buffer_;
  const DType from_;
  const DType to_;
  const Overflow overflow_;
  const bool casts_on_device_;
  const bool is_looked_at_;
  CastStream stream_;
  // What the stream does, for elements that need no looking at.
  const PackedCast host_cast_;
  // Of an element in a slot, and in the buffer.
  const std::size_t staged_size_;
  const std::size_t to_size_;
  // Elements of the buffer before those in the slot.
  std::size_t position_;
  std::optional<StagingPool::Lease> slot_;
  std::size_t staged_elements_ = 0;
};

// One ReadToHost.
class CudaRead {
 public:
  CudaRead(Engine& engine, const Elements& elements, DType to,
           ByteOrder to_order, Overflow overflow, std::byte* dst,
           CastFailures* failures)
      : engine_(engine),
        elements_(elements),
        dst_(dst),
        to_size_(static_cast<std::int64_t>(ItemSize(to))),
        casts_on_device_(to_size_ < elements.item_size()),
        carried_(casts_on_device_ ? to : elements.view.dtype),
        counts_on_device_(casts_on_device_ && overflow == Overflow::kError &&
                          MayMisfit(elements.view.dtype, to)),
        overflow_(overflow),
        streamed_(elements.count * to_size_ >=
                  static_cast<std::int64_t>(kMinStreamedBytes)),
        host_cast_(carried_, ByteOrder::kLittle, to, to_order,
                   casts_on_device_ ? Overflow::kTorch : overflow),
        failures_(failures) {}

  absl::Status Run() {
    // Of what is on the device, or on the way.
    const std::int64_t step =
        static_cast<std::int64_t>(StagingPool::kSlotBytes) /
        static_cast<std::int64_t>(ItemSize(carried_));
    for (std::int64_t done = 0; done < elements_.count; done += step) {
      absl::Status status = Request(
          {.begin = done, .count = std::min(step, elements_.count - done)});
      if (!status.ok()) return status;
    }
    while (!parts_.empty()) {
      absl::Status status = TakeOldest();
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

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
  absl::Status Request(Range range) {
    absl::StatusOr<StagingPool::Lease> slot = FindSlot();
    if (!slot.ok()) return slot.status();
    parts_.push_back({range, *std::move(slot)});
    return Fetch(parts_.back());
  }

  // Waits for nobody else's slot while it has one.
  absl::StatusOr<StagingPool::Lease> FindSlot() {
    while (!parts_.empty()) {
      if (parts_.size() < kReadAhead) {
        if (auto slot = engine_.downloads.TryAcquire()) return *std::move(slot);
      }
      absl::Status status = TakeOldest();
      if (!status.ok()) return status;
    }
    return engine_.downloads.Acquire();
  }

  absl::Status Fetch(Part& part) {
    StagingPool::Lease& slot = part.slot;
    const CudaDevice::Streams& streams = engine_.streams();
    const std::byte* src = nullptr;
    if (casts_on_device_ || !IsContiguous(elements_.view.layout)) {
      absl::Status status = CastToSlot(part);
      if (!status.ok()) return status;
      src = slot.device();
    } else {
      src = elements_.base() + (elements_.view.layout.offset + elements_.begin +
                                part.range.begin) *
                                   elements_.item_size();
    }
    slot.UsedBy(streams.download);
    absl::Status status = engine_.device->Check(
        engine_.runtime().CopyToHost(
            slot.host(), src,
            static_cast<std::size_t>(part.range.count) * ItemSize(carried_),
            streams.download),
        "copy from the device");
    if (status.ok() && counts_on_device_) {
      status = FetchRecord(engine_, slot, streams.download);
    }
    return status.ok() ? slot.Record() : status;
  }

  absl::Status CastToSlot(Part& part) {
    StagingPool::Lease& slot = part.slot;
    const CudaDevice::Streams& streams = engine_.streams();
    slot.UsedBy(streams.compute);
    absl::Status status;
    Conversion conversion{.to = carried_, .overflow = overflow_};
    if (counts_on_device_) {
      status = ClearRecord(engine_, slot);
      conversion.record = slot.device_record();
    }
    if (status.ok()) {
      status =
          engine_.kernels.Cast({.view = elements_.view,
                                .begin = elements_.begin + part.range.begin,
                                .count = part.range.count},
                               conversion, slot.device());
    }
    return status.ok()
               ? engine_.device->Order(streams.compute, streams.download)
               : status;
  }

  // Waits for the oldest part and hands it to the caller.
  absl::Status TakeOldest() {
    Part& part = parts_.front();
    absl::Status status = part.slot.Wait();
    if (status.ok()) status = Take(part);
    parts_.pop_front();
    return status;
  }

  void CastOnHost(const Part& part, CastFailures* failures) {
    std::byte* const dst = dst_ + part.range.begin * to_size_;
    const std::size_t carried_size = ItemSize(carried_);
    const auto cast = [&](std::int64_t begin, std::int64_t count,
                          CastFailures* found) {
      host_cast_.Run(
          part.slot.host() + static_cast<std::size_t>(begin) * carried_size,
          dst + begin * to_size_, static_cast<std::size_t>(count), streamed_,
          found);
      if (streamed_) FinishStreaming();
    };
    const std::size_t parts = PartCount(
        engine_, static_cast<std::size_t>(part.range.count * to_size_));
    if (parts < 2) return cast(0, part.range.count, failures);
    CastInParts(engine_.parallel_for, part.range.count, parts, cast, failures);
  }

  absl::Status Take(Part& part) {
    CastFailures found;
    CastOnHost(part, &found);
    if (counts_on_device_) {
      auto failures =
          ReadRecord(engine_, *part.slot.host_record(), elements_.view,
                     elements_.begin + part.range.begin, part.slot);
      if (!failures.ok()) return failures.status();
      found = *std::move(failures);
    }
    if (found.count > 0) {
      failures_->Merge(found, static_cast<std::uint64_t>(part.range.begin));
    }
    return absl::OkStatus();
  }

  Engine& engine_;
  const Elements elements_;
  std::byte* const dst_;
  const std::int64_t to_size_;
  const bool casts_on_device_;
  // What comes over the link.
  const DType carried_;
  const bool counts_on_device_;
  const Overflow overflow_;
  const bool streamed_;
  const PackedCast host_cast_;
  CastFailures* const failures_;
  // On their way, the oldest first.
  std::deque<Part> parts_;
};

// A cast of elements on one device that become packed elements on another. The
// sender packs, and casts unless results are larger; a part is at most a slot
// long.
class PeerCast {
 public:
  PeerCast(Engine& sender, Engine& receiver, const Elements& elements, DType to,
           Overflow overflow, std::byte* dst, CastFailures* failures)
      : sender_(sender),
        receiver_(receiver),
        elements_(elements),
        dst_(dst),
        to_(to),
        overflow_(overflow),
        sender_casts_(elements.view.dtype != to &&
                      ItemSize(to) <= ItemSize(elements.view.dtype)),
        receiver_casts_(elements.view.dtype != to && !sender_casts_),
        packs_(sender_casts_ || !IsContiguous(elements.view.layout)),
        counts_(overflow == Overflow::kError &&
                MayMisfit(elements.view.dtype, to)),
        carried_size_(static_cast<std::int64_t>(
            ItemSize(sender_casts_ ? to : elements.view.dtype))),
        failures_(failures) {}

  absl::Status Run() {
    return packs_ || receiver_casts_ ? CastInParts() : SendAll();
  }

 private:
  CudaStream LastStream() const {
    return receiver_casts_ ? receiver_.streams().compute
                           : receiver_.streams().upload;
  }

  // After an error, when the receiver may still read what is the sender's.
  absl::Status Settled(const absl::Status& status) {
    if (!status.ok()) {
      receiver_.device->WaitFor(receiver_.streams().upload).IgnoreError();
    }
    return status;
  }

  absl::Status SendAll() {
    absl::Status status = Send(Source(0), dst_, elements_.count);
    if (status.ok()) status = receiver_.device->WaitFor(LastStream());
    return Settled(status);
  }

  absl::Status CastInParts() {
    absl::StatusOr<StagingPool::Lease> out = sender_.downloads.Acquire();
    if (!out.ok()) return out.status();
    absl::StatusOr<StagingPool::Lease> in = receiver_.uploads.Acquire();
    if (!in.ok()) return in.status();
    const std::int64_t step =
        static_cast<std::int64_t>(StagingPool::kSlotBytes) / carried_size_;
    absl::Status status;
    for (std::int64_t done = 0; done < elements_.count && status.ok();
         done += step) {
      status =
          CastPart(done, std::min(step, elements_.count - done), *out, *in);
    }
    // While nobody else has the slots.
    return Settled(status);
  }

  // REQUIRES: elements are contiguous.
  const std::byte* Source(std::int64_t begin) const {
    return elements_.base() +
           (elements_.view.layout.offset + elements_.begin + begin) *
               elements_.item_size();
  }

  absl::Status CastPart(std::int64_t begin, std::int64_t count,
                        StagingPool::Lease& out, StagingPool::Lease& in) {
    const std::byte* src = nullptr;
    if (packs_) {
      absl::Status status = Pack(begin, count, out);
      if (!status.ok()) return status;
      src = out.device();
    } else {
      src = Source(begin);
    }
    std::byte* const final_place =
        dst_ + begin * static_cast<std::int64_t>(ItemSize(to_));
    in.UsedBy(receiver_.streams().upload);
    absl::Status status =
        Send(src, receiver_casts_ ? in.device() : final_place, count);
    if (status.ok() && receiver_casts_) {
      status = Unpack(count, in, final_place);
    }
    if (status.ok()) status = receiver_.device->WaitFor(LastStream());
    if (!status.ok() || !counts_) return status;
    auto found = ReadRecord(
        sender_, receiver_casts_ ? *in.host_record() : *out.host_record(),
        elements_.view, elements_.begin + begin, out);
    if (!found.ok()) return found.status();
    if (found->count > 0) {
      failures_->Merge(*found, static_cast<std::uint64_t>(begin));
    }
    return absl::OkStatus();
  }

  absl::Status Pack(std::int64_t begin, std::int64_t count,
                    StagingPool::Lease& out) {
    const bool counts = counts_ && sender_casts_;
    Conversion conversion{.to = sender_casts_ ? to_ : elements_.view.dtype,
                          .overflow = overflow_};
    out.UsedBy(sender_.streams().compute);
    absl::Status status;
    if (counts) {
      status = ClearRecord(sender_, out);
      conversion.record = out.device_record();
    }
    if (status.ok()) {
      status = sender_.kernels.Cast({.view = elements_.view,
                                     .begin = elements_.begin + begin,
                                     .count = count},
                                    conversion, out.device());
    }
    if (status.ok() && counts) {
      status = FetchRecord(sender_, out, sender_.streams().compute);
    }
    if (!status.ok()) return status;
    return receiver_.device->Order(sender_.streams().compute,
                                   receiver_.streams().upload, *sender_.device);
  }

  absl::Status Send(const std::byte* src, std::byte* dst, std::int64_t count) {
    return receiver_.device->Check(
        receiver_.runtime().CopyFromPeer(
            dst, src, sender_.device->device().index,
            static_cast<std::size_t>(count * carried_size_),
            receiver_.streams().upload),
        "copy from another device");
  }

  absl::Status Unpack(std::int64_t count, StagingPool::Lease& in,
                      std::byte* dst) {
    const CudaDevice::Streams& streams = receiver_.streams();
    Conversion conversion{.to = to_, .overflow = overflow_};
    absl::Status status =
        receiver_.device->Order(streams.upload, streams.compute);
    if (!status.ok()) return status;
    in.UsedBy(streams.compute);
    if (counts_) {
      status = ClearRecord(receiver_, in);
      conversion.record = in.device_record();
    }
    if (status.ok()) {
      status = receiver_.kernels.CastPacked(in.device(), elements_.view.dtype,
                                            count, 0, conversion, dst);
    }
    return status.ok() && counts_ ? FetchRecord(receiver_, in, streams.compute)
                                  : status;
  }

  Engine& sender_;
  Engine& receiver_;
  const Elements elements_;
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

class CudaBackend final : public DeviceBackend {
 public:
  CudaBackend(const std::shared_ptr<CudaDevice>& device,
              ParallelFor parallel_for, std::function<absl::Time()> clock)
      : engine_(device, std::move(parallel_for)),
        memory_(CudaMemory::Make(device, std::move(clock))) {}

  // Makes what the first calls would wait for. Want of memory is no error yet.
  absl::Status Warm() {
    memory_->Allocate(kWarmBytes).status().IgnoreError();
    engine_.uploads.TryAcquire();
    engine_.downloads.TryAcquire();
    return health();
  }

  Device device() const override { return engine_.device->device(); }
  std::string description() const override {
    return engine_.runtime().device_name();
  }
  std::size_t memory_bytes() const override {
    return engine_.runtime().memory_bytes();
  }
  bool may_wait() const override { return true; }
  absl::Status health() const override { return engine_.device->health(); }

  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(
      std::size_t size_bytes) override {
    return memory_->Allocate(size_bytes);
  }
  PoolStats pool_stats() const override {
    PoolStats stats = memory_->stats();
    stats.pinned_bytes =
        engine_.uploads.pinned_bytes() + engine_.downloads.pinned_bytes();
    return stats;
  }
  void Trim(absl::Duration idle) override { memory_->Trim(idle); }

  std::unique_ptr<BufferWriter> NewWriter(
      std::shared_ptr<Buffer> buffer, std::int64_t begin,
      const CastStream::Options& conversion) override {
    return std::make_unique<CudaWriter>(engine_, std::move(buffer), begin,
                                        conversion);
  }

  absl::Status ReadToHost(const BufferView& source, std::int64_t begin,
                          std::int64_t count, DType to, ByteOrder to_order,
                          Overflow overflow, std::byte* dst,
                          CastFailures* failures) override {
    if (absl::Status status = health(); !status.ok()) return status;
    if (overflow == Overflow::kError) *failures = {};
    return CudaRead(engine_, {.view = source, .begin = begin, .count = count},
                    to, to_order, overflow, dst, failures)
        .Run();
  }

  absl::Status Cast(const BufferView& source, DType to, Overflow overflow,
                    Buffer& destination, CastFailures* failures) override {
    if (absl::Status status = health(); !status.ok()) return status;
    const Elements elements{
        .view = source, .begin = 0, .count = ElementCount(source.layout.shape)};
    if (!Fits(elements.count, to, destination)) return Overrun();
    if (overflow == Overflow::kError) *failures = {};
    if (overflow == Overflow::kError && MayMisfit(source.dtype, to)) {
      return CastStrictly(elements, to, destination, failures);
    }
    absl::Status status = engine_.kernels.Cast(
        elements, {.to = to, .overflow = overflow}, destination.data());
    return status.ok() ? engine_.device->WaitFor(engine_.streams().compute)
                       : status;
  }

  absl::Status CastFromPeer(DeviceBackend& peer, const BufferView& source,
                            DType to, Overflow overflow, Buffer& destination,
                            CastFailures* failures) override {
    auto* const sender = dynamic_cast<CudaBackend*>(&peer);
    if (sender == nullptr) {
      return absl::UnimplementedError("the peer is no CUDA device");
    }
    absl::Status status = sender->health();
    if (status.ok()) status = health();
    if (!status.ok()) return status;
    const Elements elements{
        .view = source, .begin = 0, .count = ElementCount(source.layout.shape)};
    if (!Fits(elements.count, to, destination)) return Overrun();
    if (overflow == Overflow::kError) *failures = {};
    if (elements.count == 0) return absl::OkStatus();
    return PeerCast(sender->engine_, engine_, elements, to, overflow,
                    destination.data(), failures)
        .Run();
  }

  const std::byte* HostAddress(const Buffer&) const override { return nullptr; }

 private:
  static bool Fits(std::int64_t count, DType dtype, const Buffer& buffer) {
    return static_cast<std::size_t>(count) <=
           buffer.size_bytes() / ItemSize(dtype);
  }

  absl::Status CastStrictly(const Elements& elements, DType to,
                            Buffer& destination, CastFailures* failures) {
    absl::StatusOr<StagingPool::Lease> slot = engine_.downloads.Acquire();
    if (!slot.ok()) return slot.status();
    absl::Status status = ClearRecord(engine_, *slot);
    if (status.ok()) {
      status = engine_.kernels.Cast(elements,
                                    {.to = to,
                                     .overflow = Overflow::kError,
                                     .record = slot->device_record()},
                                    destination.data());
    }
    if (status.ok()) {
      status = FetchRecord(engine_, *slot, engine_.streams().compute);
    }
    if (status.ok()) status = slot->Wait();
    if (!status.ok()) return status;
    auto found = ReadRecord(engine_, *slot->host_record(), elements.view,
                            elements.begin, *slot);
    if (!found.ok()) return found.status();
    *failures = *std::move(found);
    return absl::OkStatus();
  }

  Engine engine_;
  std::shared_ptr<CudaMemory> memory_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceBackend>> NewCudaBackend(
    std::unique_ptr<CudaRuntime> runtime, ParallelFor parallel_for,
    std::function<absl::Time()> clock) {
  auto device = CudaDevice::Open(std::move(runtime));
  if (!device.ok()) return device.status();
  auto backend = std::make_unique<CudaBackend>(*device, std::move(parallel_for),
                                               std::move(clock));
  if (absl::Status status = backend->Warm(); !status.ok()) return status;
  return backend;
}

}  // namespace tensord
