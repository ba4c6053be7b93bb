// How gRPC is set up: everything that is not left to its defaults.
#ifndef TENSORD_SERVER_GRPC_SETTINGS_H_
#define TENSORD_SERVER_GRPC_SETTINGS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "server/rpc/service_context.h"
#include "server/server.h"

namespace tensord {

// Makes servers that are built from here on bring the health and reflection
// services along. gRPC has this only for a whole process. Thread-safe.
void EnableStandardServices();

// Limits on what peers can make the server take: `limits` on messages, and
// those on connections, streams, metadata, compression, threads and buffers.
void SetLimits(const ServiceLimits& limits, std::int64_t memory_limit_bytes,
               grpc::ServerBuilder& builder);

// How TCP addresses are served: TLS if `options` name a certificate, plaintext
// otherwise. INVALID_ARGUMENT for files that can not be read; what is in them
// is only looked at when the server starts.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> TcpCredentials(
    const ServerOptions& options);

}  // namespace tensord

#endif  // TENSORD_SERVER_GRPC_SETTINGS_H_
