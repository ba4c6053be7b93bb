#include "client/cpp/src/stream_call.h"

#include <grpcpp/alarm.h>

#include <chrono>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cpp/src/call_group.h"
#include "client/cpp/src/event_queue.h"
#include "client/cpp/src/status.h"
#include "core/mutex.h"

namespace tensord::client {
namespace {

// The state machine of a call. At most one write, one read, one finish and one
// alarm are under way, each with its event. A read is under way until the
// server has ended the call, which is how an early answer is noticed while a
// write waits for the peer's window; the finish follows the failed read.
class StreamCall {
 public:
  StreamCall(const Execution& execution, MessageSource& source,
             MessageSink& sink)
      : execution_(execution),
        source_(source),
        sink_(sink),
        call_context_(*execution.group) {}
  StreamCall(const StreamCall&) = delete;
  StreamCall& operator=(const StreamCall&) = delete;

  void Begin(Connection& connection, const char* method) {
    MutexLock lock(mutex_);
    grpc::ClientContext& context = call_context_.context();
    connection.Prepare(context, execution_.traceparent);
    // The first message is there: its packet carries the call's headers too.
    context.set_initial_metadata_corked(true);
    call_ = connection.stub().PrepareCall(&context, method,
                                          execution_.queue->get());
    call_->StartCall(nullptr);
    Try([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { StartWrite(); });
    StartRead();
    Progressed();
    if (execution_.timeout != absl::InfiniteDuration()) {
      WaitForStall(execution_.timeout);
    }
  }

  // To be awaited once it has begun.
  Completion& over() { return over_; }

  // REQUIRES: it is over.
  absl::Status status() {
    MutexLock lock(mutex_);
    if (!local_error_.ok()) return local_error_;
    return FromGrpcStatus(status_, call_context_.context());
  }

 private:
  using Handler = void (StreamCall::*)(bool ok);

  // The end of one kind of operation.
  class Operation final : public Event {
   public:
    Operation(StreamCall& call, Handler handler)
        : call_(call), handler_(handler) {}
    void Done(bool ok) override { call_.Ended(handler_, ok); }

   private:
    StreamCall& call_;
    const Handler handler_;
  };

  void Ended(Handler handler, bool ok) {
    if (!IsOver(handler, ok)) return;
    // Whoever waits destroys this.
    over_.Done(true);
  }

  bool IsOver(Handler handler, bool ok) {
    MutexLock lock(mutex_);
    --under_way_;
    Try([=, this]()
            ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { (this->*handler)(ok); });
    return under_way_ == 0;
  }

  template <class F>
  void Try(F step) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    try {
      step();
    } catch (...) {
      Abort(StatusOfException());
    }
  }

  void* Start(Operation& operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++under_way_;
    return operation.tag();
  }

  void StartWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    bool last = false;
    const grpc::ByteBuffer message = source_.Next(&last);
    more_to_write_ = !last;
    grpc::WriteOptions options;
    if (last) options.set_last_message();
    call_->Write(message, options, Start(write_));
  }

  void StartRead() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    call_->Read(&incoming_, Start(read_));
  }

  void WaitForStall(absl::Duration time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    stall_alarm_.Set(execution_.queue->get(), DeadlineAfter(time),
                     Start(alarm_));
  }

  void Progressed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    last_progress_ = std::chrono::steady_clock::now();
  }

  void OnWritten(bool ok) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Progressed();
    if (ok && more_to_write_ && !ended_ && local_error_.ok()) StartWrite();
  }

  void OnRead(bool ok) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Progressed();
    if (!ok) {
      ended_ = true;
      call_->Finish(&status_, Start(finish_));
      return;
    }
    const grpc::ByteBuffer message = std::exchange(incoming_, {});
    StartRead();
    if (!local_error_.ok()) return;
    if (absl::Status taken = sink_.Take(message); !taken.ok()) {
      Abort(std::move(taken));
    }
  }

  void OnFinished(bool) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    is_finished_ = true;
    stall_alarm_.Cancel();
  }

  void OnAlarm(bool rang) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!rang || is_finished_ || !local_error_.ok()) return;
    const absl::Duration quiet =
        absl::FromChrono(std::chrono::steady_clock::now() - last_progress_);
    if (quiet < execution_.timeout) {
      WaitForStall(execution_.timeout - quiet);
      return;
    }
    Abort(absl::DeadlineExceededError(absl::StrCat(
        "no message went or came for ",
        absl::FormatDuration(execution_.timeout), ", the client's timeout")));
  }

  void Abort(absl::Status error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    local_error_ = std::move(error);
    call_context_.context().TryCancel();
  }

  const Execution& execution_;
  MessageSource& source_;
  MessageSink& sink_;
  Operation write_{*this, &StreamCall::OnWritten};
  Operation read_{*this, &StreamCall::OnRead};
  Operation finish_{*this, &StreamCall::OnFinished};
  Operation alarm_{*this, &StreamCall::OnAlarm};
  Completion over_;

  Mutex mutex_;
  CancellableCall call_context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_
      ABSL_GUARDED_BY(mutex_);
  grpc::Alarm stall_alarm_ ABSL_GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point last_progress_ ABSL_GUARDED_BY(mutex_);
  grpc::ByteBuffer incoming_ ABSL_GUARDED_BY(mutex_);
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  bool more_to_write_ ABSL_GUARDED_BY(mutex_) = true;
  // The server has said its last.
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_finished_ ABSL_GUARDED_BY(mutex_) = false;
  // Why this side gave the call up.
  absl::Status local_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

Task<absl::Status> RunStreamCall(const Execution& execution,
                                 Connection& connection, const char* method,
                                 MessageSource& source, MessageSink& sink) {
  StreamCall call(execution, source, sink);
  call.Begin(connection, method);
  Completion& over = call.over();
  co_await over;
  co_return call.status();
}

}  // namespace tensord::client
