// Runs one streaming call with messages of raw bytes.
#ifndef TENSORD_CLIENT_CPP_SRC_STREAM_CALL_H_
#define TENSORD_CLIENT_CPP_SRC_STREAM_CALL_H_

#include <grpc/support/time.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/src/connections.h"
#include "core/mutex.h"

namespace tensord::client {

// Gives the messages of a call. Used by one thread.
class MessageSource {
 public:
  virtual ~MessageSource() = default;
  // The next message; sets `*last` with the last one. Called again when the
  // connection has taken the message before, never after the last. A call sends
  // at least one message.
  virtual grpc::ByteBuffer Next(bool* last) = 0;
};

// Takes the messages that a call brings. Used by one thread.
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  // An error ends the call.
  virtual absl::Status Take(const grpc::ByteBuffer& message) = 0;
};

// Gives one message.
class SingleMessage final : public MessageSource {
 public:
  explicit SingleMessage(const grpc::ByteBuffer& message) : message_(message) {}
  grpc::ByteBuffer Next(bool* last) override {
    *last = true;
    return message_;
  }

 private:
  grpc::ByteBuffer message_;
};

// Calls that are given up together. Thread-safe.
class CallGroup {
 public:
  // Cancels all calls that are under way, and those to come.
  void Cancel();

 private:
  friend class StreamCall;
  void Add(grpc::ClientContext& call);
  void Remove(grpc::ClientContext& call);

  Mutex mutex_;
  bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
};

// Calls `method` ("/package.Service/Method", of any kind) and returns when the
// call is over and destroyed: sends what `source` has while it hands what
// arrives to `sink`, both from the calling thread. Sending stops when the
// server answers early. `group`, to which the call belongs, may be null.
//
// Returns the first error of the sink, else what the server said;
// DEADLINE_EXCEEDED when neither direction moved a message for
// `stall_timeout`. Slices of messages may be in gRPC's hands still (see Loans).
absl::Status RunStreamCall(Connection& connection, const std::string& method,
                           MessageSource& source, MessageSink& sink,
                           absl::Duration stall_timeout,
                           CallGroup* group = nullptr);

// The time `timeout` from now, on gRPC's clock.
gpr_timespec DeadlineAfter(absl::Duration timeout);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_STREAM_CALL_H_
