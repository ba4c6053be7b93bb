// One UploadTensor, without the stream.
#ifndef TENSORD_SERVER_RPC_UPLOAD_SESSION_H_
#define TENSORD_SERVER_RPC_UPLOAD_SESSION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/cast/conversion_report.h"
#include "core/store/tensor_store.h"
#include "server/rpc/array_receiver.h"
#include "server/rpc/buffer_allocator.h"
#include "server/rpc/chunk_protocol.h"
#include "server/rpc/request_log.h"
#include "server/rpc/service_context.h"
#include "server/rpc/suspended_uploads.h"
#include "server/wire/envelope.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// Takes the messages of an upload and makes the tensor. The id is claimed and
// the memory allocated by the declaration; whoever drops a session before
// Commit leaves nothing behind. After an error the session is good for nothing
// but that, and for Suspend if it was the stream that ended. Not thread-safe.
class UploadSession {
 public:
  // `context` and `allocator` have to outlive the session.
  UploadSession(const ServiceContext& context, BufferAllocator& allocator,
                ChunkProtocol::Clock clock = absl::Now);

  // The next message, as ParseEnvelope gives it. A declaration whose upload is
  // suspended goes on with that; one whose upload is complete gives
  // earlier_answer. Errors of ChunkProtocol, of TensorStore::ClaimId, of
  // RequestLog::Begin, of ArrayReceiver, and those of the fields of the
  // declaration.
  absl::Status Take(const Envelope& envelope,
                    const v1::UploadDeclaration& declaration);

  // The client sends no more: makes the tensor visible. INVALID_ARGUMENT
  // (HEADER_MISSING, UPLOAD_INCOMPLETE).
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Commit();

  // What the client is answered with, for the case that it asks again.
  // REQUIRES: Commit returned a tensor.
  void Answered(std::string answer);

  // The serialized answer to the same upload before, or null; nothing more is
  // to be done where there is one.
  const RequestLog::Answered& earlier_answer() const { return earlier_answer_; }

  // Gives up what came, to go on with in another session: null if the upload
  // has no request id or nothing is declared.
  std::unique_ptr<Upload> Suspend();

  // What the conversion did, if the declaration asks for it. REQUIRES: Commit
  // returned a tensor.
  const std::optional<ConversionReport>& report() const {
    return upload_->receiver.report();
  }

 private:
  absl::Status Declare(const v1::UploadDeclaration& declaration);
  absl::Status Begin(DeclaredArray declared, const NewTensorOptions& options,
                     const v1::UploadDeclaration& declaration,
                     std::uint64_t digest, RequestLog::Ticket ticket);
  absl::Status Resume(std::unique_ptr<Upload> upload, std::uint64_t digest);
  absl::Status TakeChunk(const ChunkView& chunk);
  absl::Status Finish();

  const ServiceContext& context_;
  BufferAllocator& allocator_;
  ChunkProtocol protocol_;
  // Null before the declaration.
  std::unique_ptr<Upload> upload_;
  RequestLog::Answered earlier_answer_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_UPLOAD_SESSION_H_
