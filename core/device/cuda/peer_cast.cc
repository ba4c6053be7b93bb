#include "core/device/cuda/peer_cast.h"

#include <algorithm>
#include <utility>

namespace tensord {

PeerCast::PeerCast(CudaEngine& sender, CudaEngine& receiver,
                   const CudaElements& elements, DType to, Overflow overflow,
                   std::byte* dst, CastFailures* failures)
    : sender_(sender),
      receiver_(receiver),
      elements_(elements),
      dst_(dst),
      to_(to),
      overflow_(overflow),
      sender_casts_(elements.view.dtype != to &&
                    ItemSize(to) <= ItemSize(elements.view.dtype)),
      receiver_casts_(elements.view.dtype != to && !sender_casts_),
      packs_(sender_casts_ || !elements.is_contiguous()),
      counts_(overflow == Overflow::kError &&
              MayMisfit(elements.view.dtype, to)),
      carried_size_(static_cast<std::int64_t>(
          ItemSize(sender_casts_ ? to : elements.view.dtype))),
      failures_(failures) {}

absl::Status PeerCast::Run() {
  return packs_ || receiver_casts_ ? CastInParts() : SendAll();
}

CudaStream PeerCast::LastStream() const {
  return receiver_casts_ ? receiver_.streams().compute
                         : receiver_.streams().upload;
}

absl::Status PeerCast::Settled(const absl::Status& status) {
  if (!status.ok()) {
    receiver_.device().WaitFor(receiver_.streams().upload).IgnoreError();
  }
  return status;
}

absl::Status PeerCast::SendAll() {
  absl::Status status = Send(elements_.Address(0), dst_, elements_.count);
  if (status.ok()) status = receiver_.device().WaitFor(LastStream());
  return Settled(status);
}

absl::Status PeerCast::CastInParts() {
  absl::StatusOr<StagingPool::Lease> out = sender_.downloads().Acquire();
  if (!out.ok()) return out.status();
  absl::StatusOr<StagingPool::Lease> in = receiver_.uploads().Acquire();
  if (!in.ok()) return in.status();
  const std::int64_t step =
      static_cast<std::int64_t>(StagingPool::kSlotBytes) / carried_size_;
  absl::Status status;
  for (std::int64_t done = 0; done < elements_.count && status.ok();
       done += step) {
    status = CastPart(done, std::min(step, elements_.count - done), *out, *in);
  }
  // While nobody else has the slots.
  return Settled(status);
}

absl::Status PeerCast::CastPart(std::int64_t begin, std::int64_t count,
                                StagingPool::Lease& out,
                                StagingPool::Lease& in) {
  const CudaElements part = elements_.Part(begin, count);
  std::byte* const final_place =
      dst_ + begin * static_cast<std::int64_t>(ItemSize(to_));
  absl::Status status = packs_ ? Pack(part, out) : absl::OkStatus();
  if (!status.ok()) return status;
  in.UsedBy(receiver_.streams().upload);
  status = Send(packs_ ? out.device() : part.Address(0),
                receiver_casts_ ? in.device() : final_place, count);
  if (status.ok() && receiver_casts_) status = Unpack(count, in, final_place);
  if (status.ok()) status = receiver_.device().WaitFor(LastStream());
  if (!status.ok() || !counts_) return status;
  const StagingPool::Lease& counted = receiver_casts_ ? in : out;
  auto found = sender_.ReadRecord(*counted.host_record(), part, out);
  if (!found.ok()) return found.status();
  if (found->count > 0) {
    failures_->Merge(*found, static_cast<std::uint64_t>(begin));
  }
  return absl::OkStatus();
}

absl::Status PeerCast::Pack(const CudaElements& elements,
                            StagingPool::Lease& out) {
  CudaStream const stream = sender_.streams().compute;
  const bool counts = counts_ && sender_casts_;
  CudaConversion conversion{.to = sender_casts_ ? to_ : elements.view.dtype,
                            .overflow = overflow_};
  out.UsedBy(stream);
  absl::Status status;
  if (counts) {
    status = sender_.ClearRecord(out);
    conversion.record = out.device_record();
  }
  if (status.ok()) status = sender_.Cast(elements, conversion, out.device());
  if (status.ok() && counts) status = sender_.FetchRecord(out, stream);
  if (!status.ok()) return status;
  return receiver_.device().Order(stream, receiver_.streams().upload,
                                  sender_.device());
}

absl::Status PeerCast::Send(const std::byte* src, std::byte* dst,
                            std::int64_t count) {
  return receiver_.device().Check(
      receiver_.runtime().CopyFromPeer(
          dst, src, sender_.device().device().index,
          static_cast<std::size_t>(count * carried_size_),
          receiver_.streams().upload),
      "copy from another device");
}

absl::Status PeerCast::Unpack(std::int64_t count, StagingPool::Lease& in,
                              std::byte* dst) {
  const CudaDevice::Streams& streams = receiver_.streams();
  CudaConversion conversion{.to = to_, .overflow = overflow_};
  absl::Status status =
      receiver_.device().Order(streams.upload, streams.compute);
  if (!status.ok()) return status;
  in.UsedBy(streams.compute);
  if (counts_) {
    status = receiver_.ClearRecord(in);
    conversion.record = in.device_record();
  }
  if (status.ok()) {
    status = receiver_.CastPacked(in.device(), elements_.view.dtype, count, 0,
                                  conversion, dst);
  }
  return status.ok() && counts_ ? receiver_.FetchRecord(in, streams.compute)
                                : status;
}

}  // namespace tensord
