// The gRPC service tensord.v1.AdminService.
#ifndef TENSORD_SERVER_RPC_ADMIN_SERVICE_H_
#define TENSORD_SERVER_RPC_ADMIN_SERVICE_H_

#include <memory>

#include "grpcpp/impl/service_type.h"
#include "server/rpc/admission.h"
#include "server/rpc/service_context.h"
#include "server/rpc/tenants.h"

namespace tensord {

// The service, to be registered with a grpc::ServerBuilder. Its calls come in
// through `admission`, but are not of a tenant. Thread-safe. Destroy it after
// the server that it is registered with, and before what it is given here.
std::unique_ptr<grpc::Service> NewAdminService(Admission& admission,
                                               const Tenants& tenants,
                                               const ServiceContext& shared);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_ADMIN_SERVICE_H_
