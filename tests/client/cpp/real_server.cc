#include "tests/client/cpp/real_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <utility>

#include "absl/time/time.h"

namespace tensord {
namespace {

// gRPC 1.51 takes its threads for calls down with the last server, and on a
// busy machine it now and then ends the process over that: one of them still
// has their queue. Processes have one server; these have one after the other,
// beside one without an address that stays.
void KeepCallThreads() {
  static grpc::CallbackGenericService service;
  [[gnu::used]] static const auto* const kept =
      grpc::ServerBuilder()
          .RegisterCallbackGenericService(&service)
          .BuildAndStart()
          .release();
}

}  // namespace

RealServerTest::~RealServerTest() {
  client_.reset();
  Stop();
}

ServerOptions RealServerTest::Options(const std::string& address) {
  ServerOptions options;
  options.listen = {address};
  // Machines that run tests are overloaded.
  options.max_queue_delay = absl::ZeroDuration();
  return options;
}

void RealServerTest::Restart(const ServerOptions& options,
                             const ClientOptions& client_options) {
  Stop();
  KeepCallThreads();
  auto server = Server::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  auto client = Client::Connect(target(), client_options);
  ASSERT_TRUE(client.ok()) << client.status();
  client_ = std::make_unique<Client>(*std::move(client));
}

void RealServerTest::Stop() {
  if (server_ != nullptr) server_->Shutdown(absl::ZeroDuration());
}

}  // namespace tensord
