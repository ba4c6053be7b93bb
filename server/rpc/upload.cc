#include "server/rpc/upload.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "server/rpc/call.h"
#include "server/rpc/find_tensor.h"

namespace tensord {
namespace {

absl::Status InProgress() {
  return MakeError(absl::StatusCode::kAborted, reason::kRequestInProgress,
                   "another stream is at the same upload");
}

std::string ToString(const ByteRange& range) {
  return absl::StrCat("[", range.begin, ", ", range.end, ")");
}

bool Overlap(const ByteRange& a, const ByteRange& b) {
  return a.begin < b.end && b.begin < a.end;
}

}  // namespace

absl::Status PartInvalid(const ByteRange& part, std::string_view why,
                         std::string_view field) {
  return InvalidArgument(
      reason::kPartInvalid,
      absl::StrCat("the part ", ToString(part), " ", std::string(why)), field);
}

absl::Status RequestIdReused() {
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   reason::kRequestIdReused,
                   "the request id belongs to another upload");
}

absl::StatusOr<Upload::Opened> Upload::Open(UploadPlan plan,
                                            const ServiceContext& context,
                                            BufferAllocator& allocator) {
  MutexLock lock(mutex_);
  if (!refusal_.ok()) return refusal_;
  if (is_complete_) return InProgress();
  if (receiver_.has_value()) {
    if (plan.digest != digest_) return RequestIdReused();
    return OpenPart(plan.part);
  }
  auto answer = Start(plan, context, allocator);
  if (!answer.ok()) {
    // Whoever holds the request id already is not concerned.
    if (receiver_.has_value()) RefuseLocked(answer.status());
    return answer.status();
  }
  if (*answer != nullptr) return Opened{.answer = *std::move(answer)};
  return OpenPart(plan.part);
}

absl::StatusOr<RequestLog::Answered> Upload::Start(
    UploadPlan& plan, const ServiceContext& context,
    BufferAllocator& allocator) {
  auto begun = context.requests->Begin(request_id_, plan.digest);
  if (!begun.ok()) return begun.status();
  if (begun->answer != nullptr) return std::move(begun->answer);
  auto claim = ClaimTensorId(context, plan.tensor_id, plan.claiming);
  if (!claim.ok()) return claim.status();
  digest_ = plan.digest;
  lifetime_ = plan.options.lifetime;
  total_bytes_ = plan.array.total_bytes;
  context_ = &context;
  receiver_.emplace(std::move(plan.array), plan.options, context, allocator);
  ticket_ = std::move(begun->ticket);
  claim_.emplace(*std::move(claim));
  absl::Status status =
      AtRequestField(Guarded([this] { return receiver_->Start(); }),
                     "declaration.options", "declaration.array");
  if (!status.ok()) return status;
  return RequestLog::Answered();
}

Upload::Part* Upload::FindPart(const std::optional<ByteRange>& part) {
  const ByteRange range = part.value_or(ByteRange{0, total_bytes_});
  const auto it =
      std::find_if(parts_.begin(), parts_.end(), [&](const Part& known) {
        return known.range_ == range && known.is_whole_ != part.has_value();
      });
  return it == parts_.end() ? nullptr : &*it;
}

absl::StatusOr<Upload::Opened> Upload::OpenPart(
    const std::optional<ByteRange>& part) {
  if (Part* const known = FindPart(part); known != nullptr) {
    if (known->is_taken_) return InProgress();
    if (known->is_complete_) {
      // Of no name: others complete the tensor.
      return Opened{.answer = std::make_shared<const std::string>()};
    }
    known->is_taken_ = true;
    return Opened{.part = known, .answer = {}};
  }
  const ByteRange range = part.value_or(ByteRange{0, total_bytes_});
  for (const Part& known : parts_) {
    if (Overlap(known.range_, range)) {
      return PartInvalid(range,
                         absl::StrCat("overlaps ", ToString(known.range_),
                                      ", another part of the same upload"));
    }
  }
  if (parts_.size() == kMaxParts) {
    return PartInvalid(range, absl::StrCat("is one too many: at most ",
                                           kMaxParts, " are accepted"));
  }
  std::optional<ArrayReceiver::Part> receiver;
  if (part.has_value()) {
    auto added = receiver_->NewPart(range.begin);
    if (!added.ok()) return added.status();
    receiver = *std::move(added);
  }
  Part& added = parts_.emplace_back(range, !part.has_value());
  added.receiver_ = std::move(receiver);
  added.is_taken_ = true;
  return Opened{.part = &added, .answer = {}};
}

absl::Status Upload::Write(Part& part, std::string_view piece) {
  if (is_refused()) {
    MutexLock lock(mutex_);
    return refusal_;
  }
  return part.is_whole_ ? receiver_->Write(piece)
                        : part.receiver_->Write(piece);
}

absl::Status Upload::Flush(Part& part) {
  return part.is_whole_ ? receiver_->Flush() : part.receiver_->Flush();
}

void Upload::Release(Part& part, std::int64_t next_byte) {
  MutexLock lock(mutex_);
  part.next_byte_ = next_byte;
  part.is_taken_ = false;
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> Upload::Complete(
    Part& part, Respond respond) {
  MutexLock lock(mutex_);
  if (!refusal_.ok()) return refusal_;
  if (part.receiver_.has_value()) {
    absl::Status status = receiver_->Add(*std::move(part.receiver_));
    part.receiver_.reset();
    if (!status.ok()) return status;
  }
  const std::int64_t complete_bytes =
      complete_bytes_ + part.range_.end - part.range_.begin;
  if (complete_bytes == total_bytes_) return Commit(respond);
  respond(std::string());
  part.next_byte_ = part.range_.end;
  part.is_taken_ = false;
  part.is_complete_ = true;
  complete_bytes_ = complete_bytes;
  return nullptr;
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> Upload::Commit(
    Respond respond) {
  auto tensor = receiver_->Finish();
  if (!tensor.ok()) return ArgumentAtField(tensor.status(), "chunk.data");
  std::string answer;
  auto stored = CommitTensor(
      *context_, *std::move(claim_), *std::move(tensor), lifetime_,
      [&](const StoredTensor& result) {
        answer = WriteTensor(result, receiver_->report()).SerializeAsString();
        respond(answer);
      });
  claim_.reset();
  is_complete_ = stored.ok();
  if (stored.ok()) std::move(ticket_).Answer(std::move(answer));
  return stored;
}

void Upload::Refuse(absl::Status refusal) {
  MutexLock lock(mutex_);
  RefuseLocked(std::move(refusal));
}

void Upload::RefuseLocked(absl::Status refusal) {
  if (is_complete_ || !refusal_.ok()) return;
  refusal_ = std::move(refusal);
  is_refused_.store(true, std::memory_order_release);
  claim_.reset();
  ticket_ = {};
}

absl::StatusOr<std::int64_t> Upload::NextByte(
    const std::optional<ByteRange>& part) {
  MutexLock lock(mutex_);
  if (!refusal_.ok()) return refusal_;
  if (is_complete_ || !receiver_.has_value()) return InProgress();
  const Part* const known = FindPart(part);
  if (known == nullptr && !part.has_value()) return 0;
  if (known == nullptr) {
    if (part->begin < 0 || part->begin >= part->end) {
      return PartInvalid(*part, "is not one of any array", "part");
    }
    return part->begin;
  }
  if (known->is_taken_) return InProgress();
  return known->next_byte_;
}

std::string Upload::tensor_id() const {
  MutexLock lock(mutex_);
  return claim_.has_value() ? claim_->id() : std::string();
}

std::optional<ConversionReport> Upload::report() const {
  return receiver_->report();
}

}  // namespace tensord
