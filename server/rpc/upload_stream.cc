#include "server/rpc/upload_stream.h"

#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "server/rpc/call.h"
#include "server/rpc/read_ahead.h"
#include "server/rpc/tsan.h"
#include "server/rpc/upload_session.h"
#include "server/wire/byte_buffer.h"
#include "server/wire/envelope.h"
#include "server/wire/proto_convert.h"

namespace tensord {
namespace {

class UploadReactor final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  UploadReactor(const ServiceContext& context, BufferAllocator& allocator,
                grpc::CallbackServerContext& call, grpc::ByteBuffer& response)
      : context_(context), call_(call), response_(response) {
    session_.emplace(context, allocator);
    Run(messages_.Start());
  }

  void OnReadDone(bool ok) override {
    TakeOver(this);
    Run(messages_.OnRead(ok));
  }

  void OnDone() override {
    TakeOver(this);
    delete this;
  }

 private:
  using Messages = ReadAhead<grpc::ByteBuffer>;

  // Only the thread that was given a message to process gets past the read, so
  // one thread at a time works on the session; and once that is gone, no thread
  // is given anything.
  void Run(Messages::Steps steps) {
    for (;;) {
      HandOver(this);
      if (steps.read != nullptr) StartRead(steps.read);
      if (steps.ended) End();
      if (steps.process == nullptr) return;
      Process(*steps.process);
      if (!session_.has_value()) return;
      steps = messages_.OnProcessed();
    }
  }

  void Process(grpc::ByteBuffer& message) {
    absl::Status status = Guarded([&] { return Take(message); });
    message.Clear();
    if (!status.ok() || session_->earlier_answer() != nullptr) {
      Conclude(status);
    }
  }

  absl::Status Take(const grpc::ByteBuffer& message) {
    if (!pieces_.Reset(message)) return InternalError();
    absl::Status status =
        ParseEnvelope(pieces_.pieces(), declaration_, envelope_);
    if (status.ok()) status = session_->Take(envelope_, declaration_);
    pieces_.Clear();
    if (status.ok() && session_->earlier_answer() != nullptr) {
      response_ = MakeMessage(*session_->earlier_answer());
    }
    return status;
  }

  void End() {
    Conclude(Guarded([this] { return Commit(); }));
  }

  absl::Status Commit() {
    if (call_.IsCancelled()) {
      session_->Suspend();
      return absl::CancelledError();
    }
    const auto stored = session_->Commit();
    if (!stored.ok()) {
      if (GetErrorReason(stored.status()) == reason::kUploadIncomplete) {
        session_->Suspend();
      }
      return stored.status();
    }
    std::string answer;
    if (*stored != nullptr) {
      answer = WriteTensor(**stored, session_->report()).SerializeAsString();
    }
    response_ = MakeMessage(answer);
    if (*stored != nullptr) session_->Answered(std::move(answer));
    return absl::OkStatus();
  }

  void Conclude(const absl::Status& status) {
    if (!status.ok()) session_->Refuse(status);
    session_.reset();
    HandOver(this);
    Finish(tensord::Conclude(status, call_, *context_.events));
  }

  const ServiceContext& context_;
  grpc::CallbackServerContext& call_;
  grpc::ByteBuffer& response_;
  Messages messages_;
  // Gone once the call is concluded.
  std::optional<UploadSession> session_;
  MessagePieces pieces_;
  Envelope envelope_;
  v1::UploadDeclaration declaration_;
};

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* ServeUpload(
    const ServiceContext& context, BufferAllocator& allocator,
    grpc::CallbackServerContext& call, grpc::ByteBuffer& response) {
  return new UploadReactor(context, allocator, call, response);
}

}  // namespace tensord
