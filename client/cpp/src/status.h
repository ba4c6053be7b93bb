// What a call answered, in the terms of this project.
#ifndef TENSORD_CLIENT_CPP_SRC_STATUS_H_
#define TENSORD_CLIENT_CPP_SRC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string_view>

#include "absl/status/status.h"

namespace tensord::client {

// The status that a server sent, with the ErrorDetails (core/error.h) of its
// google.rpc details. Details that can not be read or are not known are left
// out; a code beyond the known ones is UNKNOWN.
absl::Status FromGrpcStatus(const grpc::Status& status);

// INTERNAL (MESSAGE_MALFORMED): an answer that no server of this API gives.
absl::Status MalformedAnswer(std::string_view what);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_STATUS_H_
