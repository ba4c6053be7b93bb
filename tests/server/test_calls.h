// Calls to a server from outside, for tests: without its libraries where those
// would hide something.
#ifndef TENSORD_TESTS_SERVER_TEST_CALLS_H_
#define TENSORD_TESTS_SERVER_TEST_CALLS_H_

#include <array>
#include <cstddef>
#include <future>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/status.h"

namespace tensord {

// How long anything may take before a test gives up.
inline constexpr absl::Duration kPatience = absl::Seconds(30);

// A channel with a connection of its own.
std::shared_ptr<grpc::Channel> Connect(
    const std::string& address,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials =
        grpc::InsecureChannelCredentials());

// Calls the unary `method` ("/package.Service/Method") with an encoded request.
grpc::Status CallUnary(const std::shared_ptr<grpc::Channel>& channel,
                       const std::string& method, const std::string& request,
                       std::string* response = nullptr);

// What grpc.health.v1.Health/Check says: the number of the state, or nothing
// for a name that it does not know.
inline constexpr int kServing = 1;
inline constexpr int kNotServing = 2;
std::optional<int> Health(const std::shared_ptr<grpc::Channel>& channel,
                          const std::string& name);

// A stream of grpc.health.v1.Health/Watch, open until the server ends it.
class HealthWatch {
 public:
  HealthWatch(std::shared_ptr<grpc::Channel> channel, const std::string& name);
  // Ends the stream, if it is open.
  ~HealthWatch();

  // The states so far, once there are `count` of them or the stream ended.
  std::vector<int> WaitForStates(std::size_t count);

 private:
  class Reactor;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Reactor> reactor_;
};

// Keeps gRPC's threads for calls busy with something else for as long as it
// lives: the ends of calls that fail at once, for want of credentials.
class BusyCallThreads {
 public:
  BusyCallThreads();
  ~BusyCallThreads();

 private:
  static constexpr std::ptrdiff_t kMoreThanThreads = 64;

  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer message{nullptr, 0};
  };

  std::promise<void> end_;
  std::latch ended_{kMoreThanThreads};
  grpc::GenericStub stub_;
  std::array<Call, kMoreThanThreads> calls_;
};

// The answer to a GET, headers and all; nothing if there is no connection.
std::optional<std::string> HttpGet(const std::string& address,
                                   const std::string& path);

}  // namespace tensord

#endif  // TENSORD_TESTS_SERVER_TEST_CALLS_H_
