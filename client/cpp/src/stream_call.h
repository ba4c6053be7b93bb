// Runs one streaming call with messages of raw bytes.
#ifndef TENSORD_CLIENT_CPP_SRC_STREAM_CALL_H_
#define TENSORD_CLIENT_CPP_SRC_STREAM_CALL_H_

#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"
#include "client/cpp/src/connections.h"
#include "client/cpp/src/execution.h"
#include "client/cpp/src/task.h"

namespace tensord::client {

// Gives the messages of a call. Used by one thread at a time.
class MessageSource {
 public:
  virtual ~MessageSource() = default;
  // The next message; sets `*last` with the last one. Called again when the
  // connection has taken the message before, never after the last. A call sends
  // at least one message.
  virtual grpc::ByteBuffer Next(bool* last) = 0;
};

// Takes the messages that a call brings. Used by one thread at a time.
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

// Calls `method` ("/package.Service/Method", of any kind), which ends when the
// call is over and destroyed: sends what `source` has while it hands what
// arrives to `sink`, both from the threads that run the queue of `execution`,
// never at the same time. Sending stops when the server answers early.
//
// Returns the first error of the sink, else what the server said;
// DEADLINE_EXCEEDED when neither direction moved a message for
// execution.timeout; RESOURCE_EXHAUSTED or INTERNAL where source or sink throw.
// Slices of messages may be in gRPC's hands still (see Loans).
Task<absl::Status> RunStreamCall(const Execution& execution,
                                 Connection& connection, const char* method,
                                 MessageSource& source, MessageSink& sink);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_STREAM_CALL_H_
