// How every call ends.
#ifndef TENSORD_SERVER_RPC_CALL_H_
#define TENSORD_SERVER_RPC_CALL_H_

#include <cstddef>
#include <new>

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/status.h"
#include "server/observe/service_events.h"

namespace tensord {

// RESOURCE_EXHAUSTED (MEMORY_EXHAUSTED): an allocation failed.
absl::Status OutOfMemory();

// INTERNAL, without a word on why.
absl::Status InternalError();

// Has both of them take no memory from here on.
void MakeStatusesAhead();

// What `work`, which returns an absl::Status, returns; a status too if it
// throws. No exception passes.
template <class Work>
absl::Status Guarded(Work&& work) noexcept {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  } catch (...) {
    return InternalError();
  }
}

// Tells `events` of a refusal, unless the client itself gave the call up.
void CountRefusal(const absl::Status& refusal, ServiceEvents& events);

// A message of that size came.
void CountReceived(grpc::CallbackServerContext& call, std::size_t bytes);

// What to finish a call with: tells `events` of a refusal, adds the trailer
// grpc-retry-pushback-ms where it applies, and converts.
grpc::Status Conclude(const absl::Status& status,
                      grpc::CallbackServerContext& context,
                      ServiceEvents& events) noexcept;

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_CALL_H_
