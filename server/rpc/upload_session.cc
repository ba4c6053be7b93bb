#include "server/rpc/upload_session.h"

#include <utility>

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
  DeclaredArray declared = ParseArrayDeclaration(
      declaration.array(), "declaration.array", violations);
  const NewTensorOptions options =
      ParseTensorOptions(declaration.options(), kOptions, violations);
  if (!violations.empty()) return violations.status();
  auto claim = context_.store->ClaimId(declaration.tensor_id());
  if (!claim.ok()) return claim.status();
  claim_.emplace(*std::move(claim));
  ttl_ = options.ttl;
  protocol_.Declare(declared.total_bytes);
  receiver_.emplace(std::move(declared), options, context_, allocator_);
  return AtRequestField(receiver_->Start(), kOptions, "declaration.array");
}

absl::Status UploadSession::TakeChunk(const ChunkView& chunk) {
  if (absl::Status status = protocol_.CheckChunk(chunk); !status.ok()) {
    return status;
  }
  absl::Status status =
      ChunkProtocol::TakeData(chunk, [this](std::string_view piece) {
        return AtRequestField(receiver_->Write(piece), kOptions, "chunk.data");
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
  absl::StatusOr<Tensor> tensor = receiver_->Finish();
  if (!tensor.ok()) return ArgumentAtField(tensor.status(), "chunk.data");
  tensor_ = *std::move(tensor);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const StoredTensor>> UploadSession::Commit() {
  if (absl::Status status = protocol_.CheckEnd(); !status.ok()) return status;
  return (*std::move(claim_)).Commit(*std::move(tensor_), ttl_);
}

}  // namespace tensord
