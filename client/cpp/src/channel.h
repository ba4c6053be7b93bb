// Where a server is and how it is reached.
#ifndef TENSORD_CLIENT_CPP_SRC_CHANNEL_H_
#define TENSORD_CLIENT_CPP_SRC_CHANNEL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tensord/client.h"

namespace tensord::client {

// A target of Client::Connect as the URI that gRPC resolves. INVALID_ARGUMENT
// (TARGET_INVALID) for anything but "host:port", "[IPv6 address]:port" and
// "unix:PATH".
absl::StatusOr<std::string> TargetUri(std::string_view target);

// A channel with a connection of its own, which is made when it is needed.
// INVALID_ARGUMENT: TARGET_INVALID, TLS_INVALID (a PEM file that can not be
// read, a certificate without key or a key without certificate),
// TOKEN_MALFORMED, TOKEN_EXPOSED (a token that others could read).
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(
    std::string_view target, const ClientOptions& options);

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_CHANNEL_H_
