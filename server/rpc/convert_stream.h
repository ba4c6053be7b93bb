// ConvertArray on gRPC's callback interface.
#ifndef TENSORD_SERVER_RPC_CONVERT_STREAM_H_
#define TENSORD_SERVER_RPC_CONVERT_STREAM_H_

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/admission.h"

namespace tensord {

// Serves one call; the reactor deletes itself. A client that does not read what
// it is sent is not read from either: at most one message waits while the
// results of the one before are sent, one at a time. The call ends well when
// the client has said finish and sends no more (half-closes). All that is
// passed outlives the call.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeConvert(
    Admitted admitted, grpc::CallbackServerContext& call);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_CONVERT_STREAM_H_
