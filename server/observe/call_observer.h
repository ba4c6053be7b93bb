// Calls as seen from outside of the service: when they begin and how they end.
#ifndef TENSORD_SERVER_OBSERVE_CALL_OBSERVER_H_
#define TENSORD_SERVER_OBSERVE_CALL_OBSERVER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "grpcpp/support/server_interceptor.h"
#include "grpcpp/support/status_code_enum.h"
#include "server/observe/trace_context.h"
#include "server/queue_probe.h"

namespace tensord {

// A call that has begun. The views are good for as long as the callee runs.
struct StartedCall {
  // "/package.Service/Method" as the peer sent it: any bytes, for methods that
  // are not there as well.
  std::string_view method;
};

// A call whose status is known.
struct FinishedCall {
  std::string_view method;
  // As gRPC prints it: "ipv4:127.0.0.1:40000", "unix:".
  std::string_view peer;
  // CANCELLED or DEADLINE_EXCEEDED, rather than what the service said, where
  // the peer has gone before there was a status.
  grpc::StatusCode code;
  // ErrorInfo.reason of a refusal of ours; else empty.
  std::string_view reason = {};
  // Empty where callers are not told apart, or the call was not admitted.
  std::string_view tenant = {};
  // By which client and server name the call.
  std::string_view id = {};
  // Null if the client sent none.
  const TraceContext* trace = nullptr;
  // Of the messages of our own service.
  std::int64_t received_bytes = 0;
  std::int64_t sent_bytes = 0;
  std::int64_t received_messages = 0;
  std::int64_t sent_messages = 0;
  // From the arrival of the call to its status.
  absl::Duration duration = {};
};

// Told of calls, each time from the thread that runs the call. Implementations
// are thread-safe, fast, and do not block.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void CallStarted(const StartedCall& call) = 0;
  // Once for each call that started, before the peer can see the status.
  virtual void CallFinished(const FinishedCall& call) = 0;
};

// How many calls are being worked on. Thread-safe.
class InflightCalls {
 public:
  void Enter(bool is_probe) { (is_probe ? probes_ : calls_)++; }
  void Leave(bool is_probe) { (is_probe ? probes_ : calls_)--; }
  // Calls that do work: all but those of the health and reflection services,
  // whose streams last as long as their peers like.
  std::int64_t working() const { return calls_; }
  std::int64_t total() const { return calls_ + probes_; }

 private:
  std::atomic<std::int64_t> calls_{0};
  std::atomic<std::int64_t> probes_{0};
};

// For ServerBuilder: hands the calls of `queue_probe` over to it, counts every
// other call in `inflight` until all of it is sent and received, and tells
// `observers`; sends back the client's `x-request-id`, and a `traceparent`
// where the client sent one. All pointers outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
NewCallInterceptorFactory(InflightCalls* inflight, QueueProbe* queue_probe,
                          std::vector<CallObserver*> observers);

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_CALL_OBSERVER_H_
