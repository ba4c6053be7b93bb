// One UploadTensor, without the stream.
#ifndef TENSORD_SERVER_RPC_UPLOAD_SESSION_H_
#define TENSORD_SERVER_RPC_UPLOAD_SESSION_H_

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/cast/conversion_report.h"
#include "core/store/tensor_store.h"
#include "server/rpc/array_receiver.h"
#include "server/rpc/buffer_allocator.h"
#include "server/rpc/chunk_protocol.h"
#include "server/rpc/service_context.h"
#include "server/wire/envelope.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// Takes the messages of an upload and makes the tensor. The id is claimed and
// the memory allocated by the declaration; whoever drops a session before
// Commit leaves nothing behind. After an error the session is good for nothing
// but that. Not thread-safe.
class UploadSession {
 public:
  // `context` and `allocator` have to outlive the session.
  UploadSession(const ServiceContext& context, BufferAllocator& allocator,
                ChunkProtocol::Clock clock = absl::Now);

  // The next message, as ParseEnvelope gives it. Errors of ChunkProtocol, of
  // TensorStore::ClaimId, of ArrayReceiver, and those of the fields of the
  // declaration.
  absl::Status Take(const Envelope& envelope,
                    const v1::UploadDeclaration& declaration);

  // The client sends no more: makes the tensor visible. INVALID_ARGUMENT
  // (HEADER_MISSING, UPLOAD_INCOMPLETE).
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Commit();

  // What the conversion did, if the declaration asks for it. REQUIRES: Commit
  // returned a tensor.
  const std::optional<ConversionReport>& report() const {
    return receiver_->report();
  }

 private:
  absl::Status Declare(const v1::UploadDeclaration& declaration);
  absl::Status TakeChunk(const ChunkView& chunk);
  absl::Status Finish();

  const ServiceContext& context_;
  BufferAllocator& allocator_;
  ChunkProtocol protocol_;
  std::optional<TensorStore::Claim> claim_;
  std::optional<absl::Duration> ttl_;
  std::optional<ArrayReceiver> receiver_;
  // Complete, and not visible yet.
  std::optional<Tensor> tensor_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_UPLOAD_SESSION_H_
