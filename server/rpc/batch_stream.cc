#include "server/rpc/batch_stream.h"

#include <asio/post.hpp>
#include <optional>
#include <utility>

#include "core/tsan.h"
#include "server/rpc/batch_session.h"
#include "server/rpc/call.h"
#include "server/rpc/read_ahead.h"
#include "server/rpc/stream_watch.h"

namespace tensord {
namespace {

class BatchReactor final
    : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  BatchReactor(Admitted admitted, asio::thread_pool& workers,
               DeviceThreads& device_threads, grpc::CallbackServerContext& call)
      : context_(admitted.context()),
        admitted_(std::move(admitted)),
        workers_(workers),
        device_threads_(device_threads),
        call_(call),
        watched_(context_.stream_watch, call) {
    session_.emplace(context_, admitted_->tenant().calls(), admitted_->scopes(),
                     [this] { return call_.IsCancelled(); });
    Run(messages_.Start(), kGrpcThread);
  }

  void OnReadDone(bool ok) override {
    TakeOver(this);
    Run(messages_.OnRead(ok), kGrpcThread);
  }

  void OnWriteDone(bool ok) override {
    TakeOver(this);
    watched_.WriteEnds();
    response_.Clear();
    if (!ok) {
      Conclude(watched_.WriteFailure());
    } else if (Work(kGrpcThread)) {
      Run(messages_.OnProcessed(), kGrpcThread);
    }
  }

  void OnDone() override {
    TakeOver(this);
    delete this;
  }

 private:
  using Messages = ReadAhead<grpc::ByteBuffer>;
  using Step = BatchSession::Step;
  using Thread = BatchSession::Thread;
  static constexpr Thread kGrpcThread{};

  // A message is in process from the time it is handed out until the last of
  // its results is sent; only who processes touches the session.
  void Run(Messages::Steps steps, const Thread& thread) {
    for (;;) {
      HandOver(this);
      if (steps.read != nullptr) StartRead(steps.read);
      if (steps.ended) End();
      if (steps.process == nullptr) return;
      CountReceived(call_, steps.process->Length());
      absl::Status status =
          Guarded([&] { return session_->Start(*steps.process); });
      if (!status.ok()) return Conclude(status);
      if (!Work(thread)) return;
      steps = messages_.OnProcessed();
    }
  }

  // Goes on with the message in process. True if it is processed; otherwise
  // somebody else goes on, or the call is over.
  bool Work(const Thread& thread) {
    Step step = Step::kPaused;
    while (step == Step::kPaused) {
      absl::Status status = Guarded([&] {
        if (call_.IsCancelled()) return absl::CancelledError();
        const absl::StatusOr<Step> next = session_->Next(thread, response_);
        if (next.ok()) step = *next;
        return next.status();
      });
      if (!status.ok()) {
        Conclude(status);
        return false;
      }
      if (step == Step::kPaused && !IsFor(thread)) {
        Move();
        return false;
      }
    }
    if (step == Step::kProcessed) return true;
    HandOver(this);
    watched_.WriteStarts();
    StartWrite(&response_);
    return false;
  }

  // Whether the session, which paused, may go on on this thread.
  bool IsFor(const Thread& thread) const {
    const std::optional<Device> device = session_->device();
    return thread.may_take_long &&
           (!device.has_value() || device == thread.device);
  }

  // Goes on on a thread that may take its time: one of the device's, if the
  // next call takes one.
  void Move() {
    const Thread thread{.may_take_long = true, .device = session_->device()};
    const auto work = [this, thread] {
      TakeOver(this);
      if (Work(thread)) Run(messages_.OnProcessed(), thread);
    };
    HandOver(this);
    absl::Status status = thread.device.has_value()
                              ? device_threads_.Post(*thread.device, work)
                              : Guarded([&] {
                                  asio::post(workers_, work);
                                  return absl::OkStatus();
                                });
    if (!status.ok()) Conclude(status);
  }

  void End() {
    Conclude(call_.IsCancelled() ? absl::CancelledError() : absl::OkStatus());
  }

  void Conclude(const absl::Status& status) {
    session_.reset();
    admitted_.reset();
    watched_.Finishes();
    HandOver(this);
    Finish(tensord::Conclude(status, call_, *context_.events));
  }

  const ServiceContext& context_;
  // Gone once the call is concluded, as is the session.
  std::optional<Admitted> admitted_;
  asio::thread_pool& workers_;
  DeviceThreads& device_threads_;
  grpc::CallbackServerContext& call_;
  StreamWatch::Stream watched_;
  Messages messages_;
  std::optional<BatchSession> session_;
  grpc::ByteBuffer response_;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeBatch(
    Admitted admitted, asio::thread_pool& workers,
    DeviceThreads& device_threads, grpc::CallbackServerContext& call) {
  return new BatchReactor(std::move(admitted), workers, device_threads, call);
}

}  // namespace tensord
