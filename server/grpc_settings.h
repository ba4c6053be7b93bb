// How gRPC is set up: everything that is not left to its defaults.
#ifndef TENSORD_SERVER_GRPC_SETTINGS_H_
#define TENSORD_SERVER_GRPC_SETTINGS_H_

#include <cstdint>

#include "absl/time/time.h"
#include "grpcpp/server_builder.h"
#include "server/rpc/service_context.h"
#include "server/standard_services.h"

namespace tensord {

// Makes builders from here on bring health and all standard services along.
// gRPC has this only for a whole process. Thread-safe.
void EnableStandardServices();

// Keeps those out of one server that it is not to have.
void LeaveOutOthersThan(const StandardServices& services,
                        grpc::ServerBuilder& builder);

// Limits on what peers can make the server take: `limits` on messages, and
// those on connections, streams, metadata, compression, threads and buffers. A
// peer whose system takes nothing, or that answers no ping, is hung up on after
// 20 s, or after `patience` if that is shorter and not 0.
void SetLimits(const ServiceLimits& limits, std::int64_t memory_limit_bytes,
               absl::Duration patience, grpc::ServerBuilder& builder);

}  // namespace tensord

#endif  // TENSORD_SERVER_GRPC_SETTINGS_H_
