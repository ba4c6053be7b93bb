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
#include "server/rpc/upload.h"
#include "server/wire/envelope.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// Takes the messages of one stream of an upload, and makes the tensor if it is
// the last. The id is claimed and the memory allocated by the first
// declaration; whoever drops a session before Commit leaves nothing behind,
// once the upload's other streams have noticed. After an error the session is
// good for nothing but Refuse, and for Suspend if it was the stream that ended.
// Not thread-safe.
class UploadSession {
 public:
  // `context` and `allocator` have to outlive the session.
  UploadSession(const ServiceContext& context, BufferAllocator& allocator,
                ChunkProtocol::Clock clock = absl::Now);
  UploadSession(const UploadSession&) = delete;
  UploadSession& operator=(const UploadSession&) = delete;
  ~UploadSession();

  // The next message, as ParseEnvelope gives it. A declaration whose upload is
  // suspended goes on with that; one whose upload, or part, is complete gives
  // earlier_answer. Errors of ChunkProtocol, of Upload, and those of the fields
  // of the declaration.
  absl::Status Take(const Envelope& envelope,
                    const v1::UploadDeclaration& declaration);

  // The client sends no more: makes the tensor visible, and returns it, unless
  // it lacks other parts; null then. Has `respond` answer the client before
  // that. INVALID_ARGUMENT (HEADER_MISSING, UPLOAD_INCOMPLETE), errors of
  // Upload::Complete.
  absl::StatusOr<std::shared_ptr<const StoredTensor>> Commit(
      Upload::Respond respond = [](const std::string&) {});

  // The serialized answer to the same stream before, or null; nothing more is
  // to be done where there is one.
  const RequestLog::Answered& earlier_answer() const { return earlier_answer_; }

  // Why the stream is refused: all streams of the upload are, and memory and id
  // return with the last of them. Has no effect after Suspend, or where nothing
  // is declared.
  void Refuse(const absl::Status& refusal);

  // Keeps what came, to go on with in another session, unless the upload has no
  // request id or nothing is declared.
  void Suspend();

  // What the conversion did, if the declaration asks for it. REQUIRES: Commit
  // returned a tensor.
  std::optional<ConversionReport> report() const { return upload_->report(); }

 private:
  absl::Status Declare(const v1::UploadDeclaration& declaration);
  absl::Status Open(const std::string& request_id, UploadPlan plan);
  absl::Status TakeChunk(const ChunkView& chunk);
  // The stream has no part any more. `is_over` says that the upload is refused
  // or complete.
  void LetGo(bool is_over) noexcept;

  const ServiceContext& context_;
  BufferAllocator& allocator_;
  ChunkProtocol protocol_;
  // Null before the declaration.
  std::shared_ptr<Upload> upload_;
  // Null before the declaration, and once the stream has let go of it.
  Upload::Part* part_ = nullptr;
  RequestLog::Answered earlier_answer_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_UPLOAD_SESSION_H_
