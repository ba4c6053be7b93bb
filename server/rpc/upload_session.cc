#include "server/rpc/upload_session.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "google/protobuf/arena.h"
#include "server/rpc/call.h"
#include "server/rpc/uploads.h"
#include "server/wire/proto_convert.h"
#include "server/wire/violations.h"

namespace tensord {
namespace {

// The field `part` of a declaration of `array`. PART_INVALID.
absl::StatusOr<ByteRange> ParsePart(const v1::UploadDeclaration& declaration,
                                    const DeclaredArray& array) {
  const ByteRange part{declaration.part().begin(), declaration.part().end()};
  const auto refuse = [&](std::string_view why) {
    return PartInvalid(part, why);
  };
  if (declaration.request_id().empty()) {
    return refuse("needs a request id, by which it finds the others");
  }
  if (!array.raw.has_value()) {
    return refuse("is of a .npy file; only raw arrays come in parts");
  }
  if (part.begin < 0 || part.begin >= part.end ||
      part.end > array.total_bytes) {
    return refuse(absl::StrCat("is not one of an array of ", array.total_bytes,
                               " bytes"));
  }
  const auto item = static_cast<std::int64_t>(ItemSize(array.raw->dtype));
  if (part.begin % item != 0 || part.end % item != 0) {
    return refuse(absl::StrCat("cuts an element of ", item, " bytes"));
  }
  return part;
}

std::uint64_t DigestWithoutPart(const v1::UploadDeclaration& declaration) {
  if (!declaration.has_part()) return RequestDigest(declaration);
  // By itself, a copy would leak what it has where memory runs out in it.
  google::protobuf::Arena arena;
  auto* const whole =
      google::protobuf::Arena::CreateMessage<v1::UploadDeclaration>(&arena);
  whole->CopyFrom(declaration);
  whole->clear_part();
  return RequestDigest(*whole);
}

}  // namespace

UploadSession::UploadSession(const ServiceContext& context,
                             BufferAllocator& allocator,
                             ChunkProtocol::Clock clock)
    : context_(context),
      allocator_(allocator),
      protocol_(context.limits.max_chunk_bytes, std::move(clock)) {}

UploadSession::~UploadSession() { Refuse(absl::CancelledError()); }

absl::Status UploadSession::Take(const Envelope& envelope,
                                 const v1::UploadDeclaration& declaration) {
  absl::Status status = protocol_.CheckOrder(envelope);
  if (status.ok() && envelope.payload == Envelope::Payload::kDeclaration) {
    status = Declare(declaration);
  }
  if (status.ok() && envelope.payload == Envelope::Payload::kChunk) {
    status = TakeChunk(envelope.chunk);
  }
  if (status.ok() && envelope.finish) status = protocol_.CheckFinish();
  return status;
}

absl::Status UploadSession::Declare(const v1::UploadDeclaration& declaration) {
  Violations violations;
  ClaimOptions claiming = ParseClaimOptions(declaration);
  violations.Check(CheckNewTensorId(declaration.tensor_id(), claiming),
                   "declaration.tensor_id");
  violations.Check(CheckRequestId(declaration.request_id()),
                   "declaration.request_id");
  UploadPlan plan{.tensor_id = declaration.tensor_id(),
                  .claiming = std::move(claiming),
                  .array = ParseArrayDeclaration(
                      declaration.array(), "declaration.array", violations),
                  .options = ParseTensorOptions(
                      declaration.options(), "declaration.options", violations),
                  .part = {}};
  if (!violations.empty()) return violations.status();
  if (declaration.has_part()) {
    const auto part = ParsePart(declaration, plan.array);
    if (!part.ok()) return part.status();
    plan.part = *part;
  }
  const std::string& request_id = declaration.request_id();
  if (!request_id.empty()) plan.digest = DigestWithoutPart(declaration);
  return Open(request_id, std::move(plan));
}

absl::Status UploadSession::Open(const std::string& request_id,
                                 UploadPlan plan) {
  const Device device = plan.options.device;
  if (request_id.empty()) {
    upload_ = std::make_shared<Upload>(request_id, device);
  } else {
    auto joined = context_.uploads->Join(request_id, device);
    if (!joined.ok()) return joined.status();
    upload_ = *std::move(joined);
  }
  absl::Cleanup give_up = [this] {
    upload_->Refuse(OutOfMemory());
    LetGo(/*is_over=*/true);
  };
  auto opened = upload_->Open(std::move(plan), context_, allocator_);
  std::move(give_up).Cancel();
  if (!opened.ok() || opened->part == nullptr) {
    LetGo(upload_->is_refused());
    upload_.reset();
    if (!opened.ok()) return opened.status();
    earlier_answer_ = std::move(opened->answer);
    return absl::OkStatus();
  }
  part_ = opened->part;
  protocol_.Declare(part_->range().end, part_->next_byte());
  return absl::OkStatus();
}

absl::Status UploadSession::TakeChunk(const ChunkView& chunk) {
  if (absl::Status status = protocol_.CheckChunk(chunk); !status.ok()) {
    return status;
  }
  absl::Status status =
      ChunkProtocol::TakeData(chunk, [this](std::string_view piece) {
        return AtRequestField(upload_->Write(*part_, piece),
                              "declaration.options", "chunk.data");
      });
  if (status.ok()) status = upload_->Flush(*part_);
  if (!status.ok()) return status;
  context_.events->ArrayBytesReceived(
      static_cast<std::int64_t>(chunk.data_bytes));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> UploadSession::Commit(
    Upload::Respond respond) {
  if (absl::Status status = protocol_.CheckEnd(); !status.ok()) return status;
  auto stored = upload_->Complete(*part_, respond);
  if (stored.ok()) LetGo(/*is_over=*/*stored != nullptr);
  return stored;
}

void UploadSession::Refuse(const absl::Status& refusal) {
  if (part_ == nullptr) return;
  upload_->Refuse(refusal);
  LetGo(/*is_over=*/true);
}

void UploadSession::Suspend() {
  if (part_ == nullptr || upload_->request_id().empty()) return;
  upload_->Release(*part_, protocol_.received_bytes());
  LetGo(/*is_over=*/false);
  // Where it is not kept, it is gone with this.
  upload_.reset();
}

void UploadSession::LetGo(bool is_over) noexcept {
  part_ = nullptr;
  if (upload_->request_id().empty()) return;
  if (is_over) {
    context_.uploads->Remove(upload_);
  } else {
    context_.uploads->Leave(upload_);
  }
}

}  // namespace tensord
