// What becomes known of a call while it runs.
#ifndef TENSORD_SERVER_OBSERVE_CALL_RECORD_H_
#define TENSORD_SERVER_OBSERVE_CALL_RECORD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "grpcpp/server_context.h"
#include "server/observe/trace_context.h"

namespace tensord {

// The counts are thread-safe; the rest is written before the call ends, by one
// thread after the other.
struct CallRecord {
  // What the client sent as `x-request-id`, or made up here.
  std::string id;
  // Where the client sent a valid `traceparent`.
  std::optional<TraceContext> trace;
  std::string tenant;
  // Of the refusal; empty if there is none.
  std::string reason;
  // Of messages, as they travel.
  std::atomic<std::int64_t> received_bytes{0};
  std::atomic<std::int64_t> sent_bytes{0};
  std::atomic<std::int64_t> received_messages{0};
  std::atomic<std::int64_t> sent_messages{0};

  void AddReceived(std::size_t bytes) {
    received_bytes += static_cast<std::int64_t>(bytes);
    ++received_messages;
  }
};

// The contexts of a server whose builder was told so have room for a record,
// which whoever observes calls puts there.
std::unique_ptr<grpc::ContextAllocator> NewContextAllocator();

// Has RecordOf find `record`. False, and nothing happens, for contexts of other
// allocators.
bool SetRecord(grpc::ServerContextBase& call,
               std::shared_ptr<CallRecord> record);

// Drops `kept` when gRPC is done with the call, its answer included; at once
// for contexts of other allocators. To be called before the call is finished.
void KeepWith(grpc::CallbackServerContext& call, std::shared_ptr<void> kept);

// Null if there is none.
CallRecord* RecordOf(grpc::CallbackServerContext& call);

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_CALL_RECORD_H_
