// Batch on gRPC's callback interface.
#ifndef TENSORD_SERVER_RPC_BATCH_STREAM_H_
#define TENSORD_SERVER_RPC_BATCH_STREAM_H_

#include <asio/thread_pool.hpp>

#include "grpcpp/server_context.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/server_callback.h"
#include "server/rpc/admission.h"
#include "server/rpc/device_threads.h"

namespace tensord {

// Serves one call; the reactor deletes itself. Holds two requests, of which it
// works on one, and a response: a client that does not read what it is sent is
// not read from either. What takes long runs on `workers`, what takes a device
// that may wait on its threads. All that is passed outlives the call.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ServeBatch(
    Admitted admitted, asio::thread_pool& workers,
    DeviceThreads& device_threads, grpc::CallbackServerContext& call);

}  // namespace tensord

#endif  // TENSORD_SERVER_RPC_BATCH_STREAM_H_
