// The measure E: a unary call with empty messages, over the channel of our
// client to a callback server with the settings of ours.
//
// empty_call serve
// empty_call client: connect PORT; calls COUNT THREADS
#include <grpcpp/client_context.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/cpp/src/channel.h"
#include "core/memory/freed_memory.h"
#include "server/grpc_settings.h"
#include "tensord/v1/tensord.grpc.pb.h"
#include "tests/bench/support.h"

namespace tensord::bench {
namespace {

// GetTensor without a tensor.
class EmptyService final : public v1::TensorService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetTensor(grpc::CallbackServerContext* call,
                                      const v1::GetTensorRequest*,
                                      v1::Tensor*) override {
    grpc::ServerUnaryReactor* const reactor = call->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

int Serve() {
  KeepFreedMemory(kServerFreedBytes);
  EmptyService service;
  grpc::ServerBuilder builder;
  SetLimits({}, /*memory_limit_bytes=*/std::int64_t{1} << 30,
            /*patience=*/absl::Seconds(30), builder);
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  Check(server != nullptr, "the empty server did not start");
  AnnouncePort(port);
  WaitForEndOfInput();
  server->Shutdown();
  return 0;
}

std::unique_ptr<v1::TensorService::Stub> Connect(const std::string& port) {
  auto channel = client::OpenChannel("127.0.0.1:" + port, {});
  Check(channel.ok(), channel.status().ToString());
  return v1::TensorService::NewStub(*std::move(channel));
}

void Call(v1::TensorService::Stub& stub) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoSeconds(ClientOptions().timeout));
  v1::Tensor answer;
  const grpc::Status status =
      stub.GetTensor(&context, v1::GetTensorRequest(), &answer);
  Check(status.ok(), status.error_message());
}

int Obey() {
  std::unique_ptr<v1::TensorService::Stub> stub;
  return ServeCommands({
      {"connect",
       [&](const Arguments& arguments) {
         stub = Connect(arguments.Word(0));
         return Answer{};
       }},
      {"calls",
       [&](const Arguments& arguments) {
         return TimeCalls(static_cast<int>(arguments.Number(0)),
                          static_cast<int>(arguments.Number(1)),
                          [&](int, int) { Call(*stub); });
       }},
  });
}

}  // namespace
}  // namespace tensord::bench

int main(int argc, char** argv) {
  const tensord::bench::Arguments arguments(
      std::vector<std::string>(argv + 1, argv + argc));
  if (arguments.Word(0) == "client") return tensord::bench::Obey();
  return tensord::bench::Serve();
}
