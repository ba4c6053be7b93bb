// Keeps gRPC's threads for calls from going to sleep.
#ifndef TENSORD_SERVER_CALLBACK_QUEUE_H_
#define TENSORD_SERVER_CALLBACK_QUEUE_H_

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <memory>

#include "absl/time/time.h"
#include "server/repeater.h"

namespace tensord {

// A thread of gRPC 1.51's queue for callbacks, which a process has one of, that
// had nothing to do for a second sleeps for a tenth of one, whatever comes
// meanwhile: where all do, calls to a server with little to do wait as long.
// While this exists, something comes often enough for one to be awake.
class AwakeCallbackQueue {
 public:
  AwakeCallbackQueue()
      // A channel without credentials, which fails every call at once; the
      // failure comes by the queue.
      : stub_(grpc::CreateChannel("", nullptr)),
        repeater_(kInterval, [this] { FailCall(); }) {}

 private:
  struct Call {
    grpc::ClientContext context;
    // Empty, which a buffer that nothing was put into is not.
    grpc::ByteBuffer request{nullptr, 0};
    grpc::ByteBuffer response;
  };

  // The thread that got the last one is awake until the third one after it.
  static constexpr absl::Duration kInterval = absl::Milliseconds(300);

  void FailCall() {
    const auto call = std::make_shared<Call>();
    stub_.UnaryCall(&call->context, "/tensord/Awake", {}, &call->request,
                    &call->response, [call](const grpc::Status&) {});
  }

  grpc::GenericStub stub_;
  Repeater repeater_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_CALLBACK_QUEUE_H_
