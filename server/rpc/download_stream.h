// DownloadTensor on gRPC's callback interface.
#ifndef TENSORD_SERVER_RPC_DOWNLOAD_STREAM_H_
#define TENSORD_SERVER_RPC_DOWNLOAD_STREAM_H_

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/admission.h"
#include "server/rpc/device_threads.h"

namespace tensord {

// Serves one call; the reactor deletes itself. One message is under way at any
// time, so a client that does not read costs one chunk, and one more where the
// tensor is on a device that may wait, which fills it meanwhile: memory of the
// tensor where its elements go out as they are stored, else a block of
// the context's chunk_arena. Under OVERFLOW_POLICY_ERROR the verdict on the
// elements that were asked for comes after the last of them. All that is passed
// outlives the call.
grpc::ServerWriteReactor<grpc::ByteBuffer>* ServeDownload(
    Admitted admitted, DeviceThreads& device_threads,
    grpc::CallbackServerContext& call, const grpc::ByteBuffer& request);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_DOWNLOAD_STREAM_H_
