// How gRPC is set up: everything that is not left to its defaults.
#ifndef TENSORD_SERVER_GRPC_SETTINGS_H_
#define TENSORD_SERVER_GRPC_SETTINGS_H_

#include <cstdint>

#include "grpcpp/server_builder.h"
#include "server/rpc/service_context.h"

namespace tensord {

// Makes servers that are built from here on bring the health and reflection
// services along. gRPC has this only for a whole process. Thread-safe.
void EnableStandardServices();

// Keeps reflection out of one server all the same.
void LeaveOutReflection(grpc::ServerBuilder& builder);

// Limits on what peers can make the server take: `limits` on messages, and
// those on connections, streams, metadata, compression, threads and buffers.
void SetLimits(const ServiceLimits& limits, std::int64_t memory_limit_bytes,
               grpc::ServerBuilder& builder);

}  // namespace tensord

#endif  // TENSORD_SERVER_GRPC_SETTINGS_H_
