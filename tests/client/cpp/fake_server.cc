#include "tests/client/cpp/fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <limits>

#include "absl/strings/str_cat.h"

namespace tensord {
namespace {

constexpr int kPollMs = 5;

// Little, so that what a stalled line does not take stays with its sender.
constexpr int kReceiveBufferBytes = 16384;

// What the calling thread answers.
thread_local grpc::ServerContext* call = nullptr;

grpc::Status Unset() {
  return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "not set");
}

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

// Whether `fd` has something to read, or its end, within a poll.
bool Readable(int fd) {
  pollfd entry = {fd, POLLIN, 0};
  return poll(&entry, 1, kPollMs) > 0;
}

bool SendAll(int fd, const char* data, std::size_t size_bytes) {
  while (size_bytes > 0) {
    const ssize_t sent = send(fd, data, size_bytes, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    data += sent;
    size_bytes -= static_cast<std::size_t>(sent);
  }
  return true;
}

}  // namespace

FakeService::FakeService() {
  limits.set_max_tensor_bytes(std::int64_t{1} << 40);
  limits.set_max_message_bytes(4 << 20);
  limits.set_max_chunk_bytes(1 << 20);
}

grpc::Status FakeService::GetServerInfo(grpc::ServerContext*,
                                        const v1::GetServerInfoRequest*,
                                        v1::ServerInfo* response) {
  *response->mutable_limits() = limits;
  return grpc::Status::OK;
}

grpc::Status FakeService::CreateTensor(grpc::ServerContext*,
                                       const v1::CreateTensorRequest* request,
                                       v1::Tensor* response) {
  return create ? create(*request, response) : Unset();
}

bool FakeService::IsCancelled() { return call->IsCancelled(); }

std::string FakeService::Metadata(const std::string& key) {
  const auto& metadata = call->client_metadata();
  const auto found = metadata.find(key);
  return found == metadata.end()
             ? ""
             : std::string(found->second.data(), found->second.size());
}

grpc::Status FakeService::UploadTensor(
    grpc::ServerContext* context,
    grpc::ServerReader<v1::UploadTensorRequest>* reader, v1::Tensor* response) {
  call = context;
  return upload ? upload(*reader, response) : Unset();
}

grpc::Status FakeService::ReadTensor(grpc::ServerContext*,
                                     const v1::ReadTensorRequest* request,
                                     v1::ReadTensorResponse* response) {
  return read ? read(*request, response) : Unset();
}

grpc::Status FakeService::DownloadTensor(
    grpc::ServerContext*, const v1::DownloadTensorRequest* request,
    grpc::ServerWriter<v1::DownloadTensorResponse>* writer) {
  return download ? download(*request, *writer) : Unset();
}

grpc::Status FakeService::ConvertArray(
    grpc::ServerContext*,
    grpc::ServerReaderWriter<v1::ConvertArrayResponse, v1::ConvertArrayRequest>*
        stream) {
  return convert ? convert(*stream) : Unset();
}

grpc::Status FakeService::GetTensor(grpc::ServerContext* context,
                                    const v1::GetTensorRequest* request,
                                    v1::Tensor* response) {
  call = context;
  return get ? get(*request, response) : Unset();
}

grpc::Status FakeService::Batch(
    grpc::ServerContext*,
    grpc::ServerReaderWriter<v1::BatchResponse, v1::BatchRequest>* stream) {
  return batch ? batch(*stream) : Unset();
}

FakeServer::FakeServer(FakeService& service) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(&service);
  server_ = builder.BuildAndStart();
}

FakeServer::~FakeServer() {
  server_->Shutdown(std::chrono::system_clock::now());
}

std::string FakeServer::target() const {
  return absl::StrCat("127.0.0.1:", port_);
}

FlakyLine::FlakyLine(int server_port)
    : server_port_(server_port),
      bytes_left_(std::numeric_limits<std::int64_t>::max()) {
  listener_ = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  setsockopt(listener_, SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes,
             sizeof(kReceiveBufferBytes));
  if (bind(listener_, generic, size) == 0 && listen(listener_, 8) == 0 &&
      getsockname(listener_, generic, &size) == 0) {
    port_ = ntohs(address.sin_port);
  }
  thread_ = std::thread([this] { Serve(); });
}

FlakyLine::~FlakyLine() {
  stopping_ = true;
  thread_.join();
  close(listener_);
}

std::string FlakyLine::target() const {
  return absl::StrCat("127.0.0.1:", port_);
}

void FlakyLine::FailAfter(std::int64_t bytes, Fault fault) {
  fault_ = fault;
  period_ = bytes;
  bytes_left_ = bytes;
}

void FlakyLine::Serve() {
  std::vector<std::thread> connections;
  while (!stopping_) {
    if (!Readable(listener_)) continue;
    const int client = accept(listener_, nullptr, nullptr);
    if (client >= 0)
      connections.emplace_back([this, client] { Forward(client); });
  }
  for (std::thread& connection : connections) connection.join();
}

void FlakyLine::Forward(int client) {
  const int server = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(server_port_);
  bool open = connect(server, reinterpret_cast<const sockaddr*>(&address),
                      sizeof(address)) == 0;
  while (open && !stopping_) {
    if (bytes_left_ <= 0) {
      if (fault_ == Fault::kCut) break;
      if (fault_ == Fault::kCutOnce || fault_ == Fault::kCutEvery) {
        bytes_left_ = fault_ == Fault::kCutEvery
                          ? period_.load()
                          : std::numeric_limits<std::int64_t>::max();
        ++cuts_;
        break;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
      continue;
    }
    std::array<pollfd, 2> ends = {{{client, POLLIN, 0}, {server, POLLIN, 0}}};
    poll(ends.data(), ends.size(), kPollMs);
    if (ends[0].revents != 0) open = Move(client, server);
    if (open && ends[1].revents != 0) open = Move(server, client);
  }
  close(client);
  close(server);
}

bool FlakyLine::Move(int from, int to) {
  std::array<char, 16384> bytes;
  const ssize_t size = recv(from, bytes.data(), bytes.size(), 0);
  if (size <= 0) return false;
  bytes_left_ -= size;
  return SendAll(to, bytes.data(), static_cast<std::size_t>(size));
}

}  // namespace tensord
