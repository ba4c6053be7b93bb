#include "tests/client/cpp/real_server.h"

#include <utility>

#include "absl/time/time.h"

namespace tensord {

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
