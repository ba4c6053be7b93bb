#include "server/rpc/convert_stream.h"

#include <optional>
#include <utility>
#include <variant>

#include "core/tsan.h"
#include "server/rpc/call.h"
#include "server/rpc/convert_session.h"
#include "server/rpc/read_ahead.h"
#include "server/rpc/stream_watch.h"
#include "server/wire/byte_buffer.h"
#include "server/wire/envelope.h"

namespace tensord {
namespace {

grpc::ByteBuffer Serialize(ConvertOutput output) {
  v1::ConvertArrayResponse response;
  if (auto* const header = std::get_if<v1::ArrayHeader>(&output)) {
    response.set_allocated_header(new v1::ArrayHeader(std::move(*header)));
    return SerializeMessage(response);
  }
  ConvertedChunk& chunk = std::get<ConvertedChunk>(output);
  const std::byte* const data = chunk.data.get();
  std::vector<grpc::Slice> slices;
  slices.push_back(
      BorrowedSlice(data, chunk.size_bytes, std::move(chunk.data)));
  return ChunkMessage(chunk.offset, chunk.crc32c, std::move(slices));
}

class ConvertReactor final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  ConvertReactor(Admitted admitted, grpc::CallbackServerContext& call)
      : context_(admitted.context()),
        admitted_(std::move(admitted)),
        call_(call),
        watched_(context_.stream_watch, call,
                 StreamWatch::Stream::Reads{
                     .take_over = [this] { return messages_.TakeOver(); },
                     .end =
                         [this](const absl::Status& refusal) {
                           Conclude(refusal);
                         }}) {
    session_.emplace(context_);
    Run(messages_.Start());
  }

  void OnReadDone(bool ok) override {
    TakeOver(this);
    Run(messages_.OnRead(ok));
  }

  void OnWriteDone(bool ok) override {
    TakeOver(this);
    watched_.WriteEnds();
    if (!ok) {
      Conclude(watched_.WriteFailure());
    } else if (Send()) {
      Run(messages_.OnProcessed());
    }
  }

  void OnDone() override {
    TakeOver(this);
    delete this;
  }

 private:
  using Messages = ReadAhead<grpc::ByteBuffer>;

  // A message is in process from the time it is handed out until the last of
  // its results is sent; only who processes touches the session.
  void Run(Messages::Steps steps) {
    for (;;) {
      HandOver(this);
      if (steps.read != nullptr) StartRead(steps.read);
      if (steps.ended) End();
      if (steps.process == nullptr) return;
      absl::Status status = Guarded([&] { return Take(*steps.process); });
      if (!status.ok()) return Conclude(status);
      if (!Send()) return;
      steps = messages_.OnProcessed();
    }
  }

  absl::Status Take(const grpc::ByteBuffer& message) {
    CountReceived(call_, message.Length());
    if (!pieces_.Reset(message)) return InternalError();
    absl::Status status =
        ParseEnvelope(pieces_.pieces(), declaration_, envelope_);
    return status.ok() ? session_->Take(envelope_, declaration_) : status;
  }

  // Starts to send the next result of the message in process. True if there is
  // none: then the message is processed.
  bool Send() {
    bool more = false;
    absl::Status status = Guarded([&] {
      absl::StatusOr<ConvertOutput> output = session_->Next();
      if (!output.ok()) return output.status();
      more = !std::holds_alternative<std::monostate>(*output);
      if (more) response_ = Serialize(*std::move(output));
      return absl::OkStatus();
    });
    if (!status.ok()) {
      Conclude(status);
      return false;
    }
    if (more) {
      HandOver(this);
      watched_.WriteStarts();
      StartWrite(&response_);
      return false;
    }
    watched_.Received(envelope_);
    pieces_.Clear();
    return true;
  }

  void End() {
    Conclude(call_.IsCancelled() ? absl::CancelledError()
                                 : Guarded([this] { return session_->End(); }));
  }

  void Conclude(const absl::Status& status) {
    session_.reset();
    pieces_.Clear();
    admitted_.reset();
    watched_.Finishes();
    HandOver(this);
    Finish(tensord::Conclude(status, call_, *context_.events));
  }

  const ServiceContext& context_;
  // Gone once the call is concluded, as is the session.
  std::optional<Admitted> admitted_;
  grpc::CallbackServerContext& call_;
  Messages messages_;
  StreamWatch::Stream watched_;
  std::optional<ConvertSession> session_;
  MessagePieces pieces_;
  Envelope envelope_;
  v1::ConvertDeclaration declaration_;
  grpc::ByteBuffer response_;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeConvert(
    Admitted admitted, grpc::CallbackServerContext& call) {
  return new ConvertReactor(std::move(admitted), call);
}

}  // namespace tensord
