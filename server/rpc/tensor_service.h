// The gRPC service tensord.v1.TensorService.
#ifndef TENSORD_SERVER_RPC_TENSOR_SERVICE_H_
#define TENSORD_SERVER_RPC_TENSOR_SERVICE_H_

#include <memory>

#include "grpcpp/impl/service_type.h"
#include "server/rpc/admission.h"
#include "server/rpc/service_context.h"

namespace tensord {

// The service, to be registered with a grpc::ServerBuilder. Its methods decode,
// call core and encode; what may take long, or wait for a device, runs on
// threads of its own, so that gRPC's are never held up. Calls come in through
// `admission`; of `shared` it uses what is not a tenant's. Thread-safe. Destroy
// it after the server that it is registered with, and before what it is given
// here.
//
// The builder has to set the largest message it receives to
// limits.max_message_bytes.
std::unique_ptr<grpc::Service> NewTensorService(Admission& admission,
                                                const ServiceContext& shared);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_TENSOR_SERVICE_H_
