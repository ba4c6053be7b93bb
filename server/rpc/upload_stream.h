// UploadTensor on gRPC's callback interface.
#ifndef TENSORD_SERVER_RPC_UPLOAD_STREAM_H_
#define TENSORD_SERVER_RPC_UPLOAD_STREAM_H_

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/admission.h"
#include "server/rpc/device_threads.h"

namespace tensord {

// Serves one call; the reactor deletes itself. The tensor becomes visible when
// the client has said finish and sends no more (half-closes), so that a message
// after the last one can still be refused. A refusal ends the call at once, and
// gives back memory and id before the client hears of it, or as soon as the
// other streams of the upload have noticed. An upload with a request id is
// suspended instead when its stream ends early. An upload to a device that may
// wait is worked on by that device's threads, a message at a time. All that is
// passed outlives the call.
grpc::ServerReadReactor<grpc::ByteBuffer>* ServeUpload(
    Admitted admitted, DeviceThreads& device_threads,
    grpc::CallbackServerContext& call, grpc::ByteBuffer& response);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_UPLOAD_STREAM_H_
