// What a call answered, in the terms of this project.
#ifndef TENSORD_CLIENT_CPP_SRC_STATUS_H_
#define TENSORD_CLIENT_CPP_SRC_STATUS_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tensord::client {

// The status that a server sent, with the ErrorDetails (core/error.h) of its
// google.rpc details. Details that can not be read or are not known are left
// out; a code beyond the known ones is UNKNOWN.
absl::Status FromGrpcStatus(const grpc::Status& status);

// The same, with what the trailers of the call say about trying again.
// REQUIRES: the call is over.
absl::Status FromGrpcStatus(const grpc::Status& status,
                            const grpc::ClientContext& context);

// What RetryPushback says where the server asks not to be called again.
inline constexpr absl::Duration kNeverRetry = absl::InfiniteDuration();

// How long the server that sent this status asks to wait before the call is
// made again (the trailer grpc-retry-pushback-ms of gRPC's proposal A6);
// nothing if it said nothing.
std::optional<absl::Duration> RetryPushback(const absl::Status& status);

// Has RetryPushback(status) say `delay`, in whole milliseconds.
void SetRetryPushback(absl::Status& status, absl::Duration delay);

// INTERNAL (MESSAGE_MALFORMED): an answer that no server of this API gives.
absl::Status MalformedAnswer(std::string_view what);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_STATUS_H_
