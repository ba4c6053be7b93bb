#include "server/rpc/upload_stream.h"

#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/tsan.h"
#include "server/rpc/call.h"
#include "server/rpc/read_ahead.h"
#include "server/rpc/stream_watch.h"
#include "server/rpc/upload_session.h"
#include "server/wire/byte_buffer.h"
#include "server/wire/envelope.h"
#include "server/wire/proto_convert.h"

namespace tensord {
namespace {

class UploadReactor final : public grpc::ServerReadReactor<grpc::ByteBuffer> {
 public:
  UploadReactor(Admitted admitted, DeviceThreads& device_threads,
                grpc::CallbackServerContext& call, grpc::ByteBuffer& response)
      : context_(admitted.context()),
        admitted_(std::move(admitted)),
        device_threads_(device_threads),
        call_(call),
        response_(response) {
    session_.emplace(context_, admitted_->tenant().allocator());
    watched_.emplace(context_.stream_watch, call_,
                     StreamWatch::Stream::Reads{
                         .take_over = [this] { return messages_.TakeOver(); },
                         .end =
                             [this](const absl::Status& refusal) {
                               session_->Suspend();
                               Conclude(refusal);
                             }});
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
      if (steps.process == nullptr && !steps.ended) return;
      if (steps.process != nullptr) {
        CountReceived(call_, steps.process->Length());
      }
      if (device_.has_value()) return Post(steps);
      if (!Work(steps)) return;
      steps = messages_.OnProcessed();
    }
  }

  // Does it on a thread of device_.
  void Post(Messages::Steps steps) {
    HandOver(this);
    absl::Status status = device_threads_.Post(*device_, [this, steps] {
      TakeOver(this);
      if (Work(steps)) Run(messages_.OnProcessed());
    });
    if (!status.ok()) Conclude(status);
  }

  // True if a message is processed and there may be more.
  bool Work(Messages::Steps steps) {
    if (steps.ended) {
      End();
      return false;
    }
    bool is_posted = false;
    absl::Status status = Guarded([&] {
      absl::Status parsed = Parse(*steps.process);
      if (!parsed.ok()) return parsed;
      is_posted = FindDevice();
      return is_posted ? absl::OkStatus() : Take();
    });
    if (is_posted) {
      Post(steps);
      return false;
    }
    watched_->Received(envelope_);
    pieces_.Clear();
    steps.process->Clear();
    if (status.ok() && session_->earlier_answer() == nullptr) return true;
    Conclude(status);
    return false;
  }

  absl::Status Parse(const grpc::ByteBuffer& message) {
    if (!pieces_.Reset(message)) return InternalError();
    return ParseEnvelope(pieces_.pieces(), declaration_, envelope_);
  }

  // Whether the message is the declaration of an upload to a device that may
  // wait, which is device_ from then on.
  bool FindDevice() {
    if (device_.has_value() ||
        envelope_.payload != Envelope::Payload::kDeclaration) {
      return false;
    }
    device_ = WaitsFor(*context_.devices, declaration_.options().device());
    return device_.has_value();
  }

  absl::Status Take() {
    absl::Status status = session_->Take(envelope_, declaration_);
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
    absl::Status status = session_
                              ->Commit([this](const std::string& answer) {
                                response_ = MakeMessage(answer);
                              })
                              .status();
    if (GetErrorReason(status) == reason::kUploadIncomplete) {
      session_->Suspend();
    }
    return status;
  }

  void Conclude(const absl::Status& status) {
    if (!status.ok()) session_->Refuse(status);
    session_.reset();
    admitted_.reset();
    watched_->Finishes();
    HandOver(this);
    Finish(tensord::Conclude(status, call_, *context_.events));
  }

  const ServiceContext& context_;
  // Gone once the call is concluded, as is the session.
  std::optional<Admitted> admitted_;
  DeviceThreads& device_threads_;
  grpc::CallbackServerContext& call_;
  grpc::ByteBuffer& response_;
  Messages messages_;
  std::optional<UploadSession> session_;
  // Whose threads have to do the work; nothing if any may. Of who processes.
  std::optional<Device> device_;
  std::optional<StreamWatch::Stream> watched_;
  MessagePieces pieces_;
  Envelope envelope_;
  v1::UploadDeclaration declaration_;
};

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* ServeUpload(
    Admitted admitted, DeviceThreads& device_threads,
    grpc::CallbackServerContext& call, grpc::ByteBuffer& response) {
  return new UploadReactor(std::move(admitted), device_threads, call, response);
}

}  // namespace tensord
