#include "test_calls.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <future>
#include <mutex>
#include <utility>

#include "absl/time/clock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/channel_arguments.h"
#include "server/listen_address.h"

namespace tensord {
namespace {

grpc::ByteBuffer ToByteBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// HealthCheckRequest{string service = 1}, for short names.
std::string HealthRequest(const std::string& name) {
  return std::string("\x0a") + static_cast<char>(name.size()) + name;
}

// HealthCheckResponse{ServingStatus status = 1}.
int HealthState(const std::string& response) {
  return response.size() == 2 && response[0] == 8 ? response[1] : 0;
}

}  // namespace

std::shared_ptr<grpc::Channel> Connect(
    const std::string& address,
    const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

grpc::Status CallUnary(const std::shared_ptr<grpc::Channel>& channel,
                       const std::string& method, const std::string& request,
                       std::string* response) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
  const grpc::ByteBuffer sent = ToByteBuffer(request);
  grpc::ByteBuffer received;
  std::promise<grpc::Status> done;
  grpc::GenericStub(channel).UnaryCall(
      &context, method, {}, &sent, &received,
      [&](grpc::Status status) { done.set_value(std::move(status)); });
  grpc::Status status = done.get_future().get();
  if (status.ok() && response != nullptr) *response = ToString(received);
  return status;
}

std::optional<int> Health(const std::shared_ptr<grpc::Channel>& channel,
                          const std::string& name) {
  std::string response;
  if (!CallUnary(channel, "/grpc.health.v1.Health/Check", HealthRequest(name),
                 &response)
           .ok()) {
    return std::nullopt;
  }
  return HealthState(response);
}

class HealthWatch::Reactor
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Reactor(const std::shared_ptr<grpc::Channel>& channel,
          const std::string& name)
      : stub_(channel), request_(ToByteBuffer(HealthRequest(name))) {
    stub_.PrepareBidiStreamingCall(&context_, "/grpc.health.v1.Health/Watch",
                                   {}, this);
    StartWriteLast(&request_, {});
    StartRead(&response_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    {
      const std::lock_guard lock(mutex_);
      states_.push_back(HealthState(ToString(response_)));
    }
    changed_.notify_all();
    StartRead(&response_);
  }

  void OnDone(const grpc::Status&) override {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

  std::vector<int> WaitForStates(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(kPatience),
                      [&] { return done_ || states_.size() >= count; });
    return states_;
  }

  void End() {
    context_.TryCancel();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_; });
  }

 private:
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> states_;
  bool done_ = false;
};

HealthWatch::HealthWatch(std::shared_ptr<grpc::Channel> channel,
                         const std::string& name)
    : channel_(std::move(channel)),
      reactor_(std::make_unique<Reactor>(channel_, name)) {}

HealthWatch::~HealthWatch() { reactor_->End(); }

std::vector<int> HealthWatch::WaitForStates(std::size_t count) {
  return reactor_->WaitForStates(count);
}

BusyCallThreads::BusyCallThreads() : stub_(grpc::CreateChannel("", nullptr)) {
  const std::shared_future<void> end = end_.get_future().share();
  for (Call& call : calls_) {
    stub_.UnaryCall(&call.context, "/made.Up/Method", {}, &call.message,
                    &call.message, [this, end](const grpc::Status&) {
                      end.wait();
                      ended_.count_down();
                    });
  }
}

BusyCallThreads::~BusyCallThreads() {
  end_.set_value();
  ended_.wait();
}

std::optional<std::string> HttpGet(const std::string& address,
                                   const std::string& path) {
  const auto parsed = ParseListenAddress(address);
  if (!parsed.ok()) return std::nullopt;
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<std::uint16_t>(parsed->port));
  inet_pton(AF_INET, parsed->host.c_str(), &name.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::optional<std::string> answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) {
    const std::string request =
        "GET " + path + " HTTP/1.0\r\nHost: " + address + "\r\n\r\n";
    send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    answer.emplace();
    std::array<char, 4096> piece{};
    for (ssize_t n = 0; (n = recv(fd, piece.data(), piece.size(), 0)) > 0;) {
      answer->append(piece.data(), static_cast<std::size_t>(n));
    }
  }
  close(fd);
  return answer;
}

}  // namespace tensord
