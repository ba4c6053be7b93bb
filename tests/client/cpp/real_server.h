// The server, in the test's process.
#ifndef TENSORD_TESTS_CLIENT_CPP_REAL_SERVER_H_
#define TENSORD_TESTS_CLIENT_CPP_REAL_SERVER_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "server/server.h"
#include "tensord/client.h"

namespace tensord {

// A fixture with a server on a free loopback port and a client of it.
class RealServerTest : public ::testing::Test {
 protected:
  RealServerTest() { Restart(Options()); }
  ~RealServerTest() override;

  // Defaults, but for the address.
  static ServerOptions Options(const std::string& address = "127.0.0.1:0");

  // Ends the server there is, and starts another.
  void Restart(const ServerOptions& options,
               const ClientOptions& client_options = {});

  // Ends the server at once.
  void Stop();

  const std::string& target() const { return server_->addresses().front(); }
  const Client& client() const { return *client_; }
  bool Exists(const std::string& id) const { return client().Get(id).ok(); }

 private:
  std::unique_ptr<Server> server_;
  std::unique_ptr<Client> client_;
};

}  // namespace tensord

#endif  // TENSORD_TESTS_CLIENT_CPP_REAL_SERVER_H_
