#include "server/rpc/upload_session.h"

#include <utility>

#include "core/error.h"
#include "server/rpc/find_tensor.h"
#include "server/wire/proto_convert.h"
#include "server/wire/violations.h"

namespace tensord {
namespace {

constexpr std::string_view kOptions = "declaration.options";

}  // namespace

UploadSession::UploadSession(const ServiceContext& context,
                             BufferAllocator& allocator,
                             ChunkProtocol::Clock clock)
    : context_(context),
      allocator_(allocator),
      protocol_(context.limits.max_chunk_bytes, std::move(clock)) {}

absl::Status UploadSession::Take(const Envelope& envelope,
                                 const v1::UploadDeclaration& declaration) {
  absl::Status status = protocol_.CheckOrder(envelope);
  if (status.ok() && envelope.payload == Envelope::Payload::kDeclaration) {
    status = Declare(declaration);
  }
  if (status.ok() && envelope.payload == Envelope::Payload::kChunk) {
    status = TakeChunk(envelope.chunk);
  }
  if (status.ok() && envelope.finish) status = Finish();
  return status;
}

absl::Status UploadSession::Declare(const v1::UploadDeclaration& declaration) {
  Violations violations;
  violations.Check(CheckNewTensorId(declaration.tensor_id()),
                   "declaration.tensor_id");
  violations.Check(CheckRequestId(declaration.request_id()),
                   "declaration.request_id");
  DeclaredArray declared = ParseArrayDeclaration(
      declaration.array(), "declaration.array", violations);
  const NewTensorOptions options =
      ParseTensorOptions(declaration.options(), kOptions, violations);
  if (!violations.empty()) return violations.status();
  const std::string& request_id = declaration.request_id();
  if (request_id.empty()) {
    return Begin(std::move(declared), options, declaration, 0, {});
  }
  const std::uint64_t digest = RequestDigest(declaration);
  auto suspended = context_.suspended_uploads->Take(request_id);
  if (suspended != nullptr) return Resume(std::move(suspended), digest);
  auto begun = context_.requests->Begin(request_id, digest);
  if (!begun.ok()) return begun.status();
  if (begun->answer != nullptr) {
    earlier_answer_ = std::move(begun->answer);
    return absl::OkStatus();
  }
  return Begin(std::move(declared), options, declaration, digest,
               std::move(begun->ticket));
}

absl::Status UploadSession::Begin(DeclaredArray declared,
                                  const NewTensorOptions& options,
                                  const v1::UploadDeclaration& declaration,
                                  std::uint64_t digest,
                                  RequestLog::Ticket ticket) {
  auto claim = ClaimTensorId(context_, declaration.tensor_id());
  if (!claim.ok()) return claim.status();
  const std::int64_t total_bytes = declared.total_bytes;
  protocol_.Declare(total_bytes);
  upload_ = std::make_unique<Upload>(Upload{
      .request_id = declaration.request_id(),
      .digest = digest,
      .ticket = std::move(ticket),
      .claim = *std::move(claim),
      .ttl = options.ttl,
      .receiver =
          ArrayReceiver(std::move(declared), options, context_, allocator_),
      .total_bytes = total_bytes,
      .tensor = {}});
  return AtRequestField(upload_->receiver.Start(), kOptions,
                        "declaration.array");
}

absl::Status UploadSession::Resume(std::unique_ptr<Upload> upload,
                                   std::uint64_t digest) {
  if (upload->digest != digest) {
    context_.suspended_uploads->Keep(std::move(upload));
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     reason::kRequestIdReused,
                     "the request id belongs to another upload");
  }
  upload_ = std::move(upload);
  protocol_.Declare(upload_->total_bytes, upload_->received_bytes);
  return absl::OkStatus();
}

absl::Status UploadSession::TakeChunk(const ChunkView& chunk) {
  if (absl::Status status = protocol_.CheckChunk(chunk); !status.ok()) {
    return status;
  }
  absl::Status status =
      ChunkProtocol::TakeData(chunk, [this](std::string_view piece) {
        return AtRequestField(upload_->receiver.Write(piece), kOptions,
                              "chunk.data");
      });
  if (!status.ok()) return status;
  context_.events->ArrayBytesReceived(
      static_cast<std::int64_t>(chunk.data_bytes));
  return absl::OkStatus();
}

absl::Status UploadSession::Finish() {
  if (absl::Status status = protocol_.CheckFinish(); !status.ok()) {
    return status;
  }
  if (upload_->tensor.has_value()) return absl::OkStatus();
  absl::StatusOr<Tensor> tensor = upload_->receiver.Finish();
  if (!tensor.ok()) return ArgumentAtField(tensor.status(), "chunk.data");
  upload_->tensor = *std::move(tensor);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> UploadSession::Commit() {
  if (absl::Status status = protocol_.CheckEnd(); !status.ok()) return status;
  return std::move(upload_->claim)
      .Commit(*std::move(upload_->tensor), upload_->ttl);
}

void UploadSession::Answered(std::string answer) {
  std::move(upload_->ticket).Answer(std::move(answer));
}

std::unique_ptr<Upload> UploadSession::Suspend() {
  if (upload_ == nullptr || upload_->request_id.empty()) return nullptr;
  upload_->received_bytes = protocol_.received_bytes();
  return std::move(upload_);
}

}  // namespace tensord
