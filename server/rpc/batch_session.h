// The calls of a Batch stream, message by message.
#ifndef TENSORD_SERVER_RPC_BATCH_SESSION_H_
#define TENSORD_SERVER_RPC_BATCH_SESSION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/arena.h"
#include "google/protobuf/io/coded_stream.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "server/access/scope.h"
#include "server/rpc/service_context.h"
#include "server/rpc/tensor_calls.h"
#include "tensord/v1/tensord.pb.h"

namespace tensord {

// Largest response, unless the service's messages are smaller: what gRPC's
// clients take if they are not told otherwise.
inline constexpr std::int64_t kMaxBatchResponseBytes = std::int64_t{4} << 20;
// A response with more than this is sent, so that the client works on some
// results while others are made.
inline constexpr std::size_t kBatchResponseBytes = std::size_t{256} << 10;

// Takes requests apart call by call, so that what it holds does not grow with
// their number, runs the calls and writes their results into responses. To use:
// Start with a message, then Next until that says kProcessed, then the next
// Start. Not thread-safe.
class BatchSession {
 public:
  enum class Step {
    // The message is done.
    kProcessed,
    // There is a response to send; call again when it is sent.
    kSend,
    // What comes next takes long, or a device; call again where that does not
    // matter.
    kPaused,
  };

  // What the thread of a call of Next is for.
  struct Thread {
    // Transformations of more than kMaxInlineBytes.
    bool may_take_long = false;
    // Calls that have to run on this device's threads.
    std::optional<Device> device = {};
  };

  // `context` and `calls` have to outlive the session. Calls that `scopes` do
  // not allow are refused (ROLE_MISSING). `is_cancelled` says of the whole
  // batch, and ends what takes long.
  BatchSession(const ServiceContext& context, TensorCalls& calls,
               Scopes scopes = Scopes::All(), IsCancelled is_cancelled = {});

  // `message` has to stay until it is processed. INTERNAL if it can not be
  // read.
  absl::Status Start(grpc::ByteBuffer& message);

  // Runs calls that `thread` is for, of up to kMaxInlineBytes of arrays and a
  // little more at a time. Refusals of calls are results. INVALID_ARGUMENT
  // (MESSAGE_MALFORMED) where the message can not be read on, after the results
  // so far were sent. REQUIRES: Start.
  absl::StatusOr<Step> Next(const Thread& thread, grpc::ByteBuffer& response);

  // The device whose threads have to run what comes next; nothing if any may.
  std::optional<Device> device() const { return device_; }

 private:
  // Reads on to the next call, into call_; false at the end of the message.
  // MESSAGE_MALFORMED.
  absl::StatusOr<bool> Read();
  // Finds out what the call takes; its refusal if it is refused.
  absl::Status Prepare();
  template <class Request, class Job>
  absl::Status Prepare(const Request& request, std::optional<Job>& job);
  // Runs the call; returns the bytes that it handled.
  std::int64_t Run();
  absl::Status Dispatch(v1::BatchResult& result);
  // Appends a result to the response, or to the next one.
  void Add(const v1::BatchResult& result);
  grpc::ByteBuffer TakeResponse();

  const ServiceContext& context_;
  TensorCalls& calls_;
  const Scopes scopes_;
  const IsCancelled is_cancelled_;
  const std::size_t max_response_bytes_;
  // Where arena_ begins; most calls need no more.
  std::array<char, 4096> memory_;
  google::protobuf::Arena arena_;
  std::optional<grpc::ProtoBufferReader> reader_;
  std::optional<google::protobuf::io::CodedInputStream> input_;
  // The call that is to run, in arena_; null if none was read.
  const v1::BatchCall* call_ = nullptr;
  // That call, if it transforms and was accepted so far.
  std::optional<Transformation> job_;
  // The same if it reads.
  std::optional<Reading> reading_;
  // Why it was not accepted.
  absl::Status refusal_;
  // The device whose threads have to run it.
  std::optional<Device> device_;
  // Why the message can not be read on.
  absl::Status failure_;
  // The response so far, and the result that it has no room for.
  std::string response_;
  std::string overflow_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_BATCH_SESSION_H_
