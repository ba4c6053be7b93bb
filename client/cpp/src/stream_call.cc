#include "client/cpp/src/stream_call.h"

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/status.h"

namespace tensord::client {

// The state machine of a call. At most one write, one read and one finish are
// under way, each with its tag. A read is under way until the server has ended
// the call, which is how an early answer is noticed while a write waits for the
// peer's window; the finish follows the failed read.
class StreamCall {
 public:
  StreamCall(MessageSource& source, MessageSink& sink,
             absl::Duration stall_timeout, CallGroup* group)
      : source_(source),
        sink_(sink),
        stall_timeout_(stall_timeout),
        group_(group) {
    if (group_ != nullptr) group_->Add(context_);
  }
  StreamCall(const StreamCall&) = delete;
  StreamCall& operator=(const StreamCall&) = delete;

  ~StreamCall() {
    if (group_ != nullptr) group_->Remove(context_);
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  absl::Status Run(Connection& connection, const std::string& method) {
    connection.Authorize(context_);
    // The first message is there: its packet carries the call's headers too.
    context_.set_initial_metadata_corked(true);
    call_ = connection.stub().PrepareCall(&context_, method, &queue_);
    call_->StartCall(nullptr);
    StartWrite();
    StartRead();
    while (under_way_ > 0) Step();
    if (!local_error_.ok()) return local_error_;
    return FromGrpcStatus(status_, context_);
  }

 private:
  enum Tag : std::intptr_t { kWritten = 1, kRead, kFinished };

  void* Start(Tag tag) {
    ++under_way_;
    // gRPC's tags are pointers that nobody follows.
    return reinterpret_cast<void*>(tag);  // NOLINT(performance-no-int-to-ptr)
  }

  void StartWrite() {
    bool last = false;
    const grpc::ByteBuffer message = source_.Next(&last);
    more_to_write_ = !last;
    grpc::WriteOptions options;
    if (last) options.set_last_message();
    call_->Write(message, options, Start(kWritten));
  }

  void StartRead() { call_->Read(&incoming_, Start(kRead)); }

  // Waits for one operation and follows it up.
  void Step() {
    void* tag = nullptr;
    bool ok = false;
    const gpr_timespec deadline = local_error_.ok()
                                      ? DeadlineAfter(stall_timeout_)
                                      : gpr_inf_future(GPR_CLOCK_MONOTONIC);
    if (queue_.AsyncNext(&tag, &ok, deadline) !=
        grpc::CompletionQueue::GOT_EVENT) {
      Abort(absl::DeadlineExceededError(absl::StrCat(
          "no message went or came for ", absl::FormatDuration(stall_timeout_),
          ", the client's timeout")));
      return;
    }
    --under_way_;
    const auto operation = static_cast<Tag>(reinterpret_cast<intptr_t>(tag));
    if (operation == kWritten) OnWritten(ok);
    if (operation == kRead) OnRead(ok);
  }

  void OnWritten(bool ok) {
    if (ok && more_to_write_ && !ended_ && local_error_.ok()) StartWrite();
  }

  void OnRead(bool ok) {
    if (!ok) {
      ended_ = true;
      call_->Finish(&status_, Start(kFinished));
      return;
    }
    const grpc::ByteBuffer message = std::exchange(incoming_, {});
    StartRead();
    if (!local_error_.ok()) return;
    if (absl::Status taken = sink_.Take(message); !taken.ok()) {
      Abort(std::move(taken));
    }
  }

  void Abort(absl::Status error) {
    local_error_ = std::move(error);
    context_.TryCancel();
  }

  MessageSource& source_;
  MessageSink& sink_;
  const absl::Duration stall_timeout_;
  CallGroup* const group_;

  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer incoming_;
  grpc::Status status_;
  int under_way_ = 0;
  bool more_to_write_ = true;
  // The server has said its last.
  bool ended_ = false;
  // Why this side gave the call up.
  absl::Status local_error_;
};

void CallGroup::Cancel() {
  MutexLock lock(mutex_);
  is_cancelled_ = true;
  for (grpc::ClientContext* const call : calls_) call->TryCancel();
}

void CallGroup::Add(grpc::ClientContext& call) {
  MutexLock lock(mutex_);
  calls_.push_back(&call);
  // gRPC cancels a call that has not started as soon as it does.
  if (is_cancelled_) call.TryCancel();
}

void CallGroup::Remove(grpc::ClientContext& call) {
  MutexLock lock(mutex_);
  calls_.erase(std::find(calls_.begin(), calls_.end(), &call));
}

gpr_timespec DeadlineAfter(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) {
    return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  }
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC),
      gpr_time_from_nanos(absl::ToInt64Nanoseconds(timeout), GPR_TIMESPAN));
}

absl::Status RunStreamCall(Connection& connection, const std::string& method,
                           MessageSource& source, MessageSink& sink,
                           absl::Duration stall_timeout, CallGroup* group) {
  return StreamCall(source, sink, stall_timeout, group).Run(connection, method);
}

}  // namespace tensord::client
