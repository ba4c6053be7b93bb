// The measure T: one TCP connection on loopback that does the copies that any
// transfer has to do, and nothing else. The sender sends from the caller's
// memory; the receiver takes pieces of 64 KiB and copies them into their place.
//
// raw_socket serve BYTES
// raw_socket client: connect PORT BYTES; upload; download; verify
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/support.h"

namespace tensord::bench {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{64} << 10;
constexpr char kUpload = 'u';
constexpr char kDownload = 'd';

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A connected socket, and the memory at this end of it.
class Peer {
 public:
  Peer(int socket, std::size_t size_bytes)
      : socket_(socket), memory_(size_bytes), piece_(kPieceBytes) {
    const int on = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  ~Peer() { close(socket_); }

  WarmMemory& memory() { return memory_; }

  void Send(const void* data, std::size_t size_bytes) {
    const char* next = static_cast<const char*>(data);
    while (size_bytes > 0) {
      const ssize_t sent = send(socket_, next, size_bytes, MSG_NOSIGNAL);
      Check(sent > 0, "the socket broke in a send");
      next += sent;
      size_bytes -= static_cast<std::size_t>(sent);
    }
  }

  // False at the end of the stream.
  bool ReceiveByte(char& byte) { return recv(socket_, &byte, 1, 0) == 1; }

  void SendMemory() { Send(memory_.data(), memory_.size()); }

  void ReceiveMemory() {
    for (std::size_t done = 0; done < memory_.size();) {
      const std::size_t most = std::min(kPieceBytes, memory_.size() - done);
      const ssize_t got = recv(socket_, piece_.data(), most, 0);
      Check(got > 0, "the socket broke in a recv");
      std::memcpy(memory_.data() + done, piece_.data(),
                  static_cast<std::size_t>(got));
      done += static_cast<std::size_t>(got);
    }
  }

 private:
  const int socket_;
  WarmMemory memory_;
  std::vector<char> piece_;
};

int Serve(std::size_t size_bytes) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  Check(bind(listener, any, size) == 0 && listen(listener, 1) == 0 &&
            getsockname(listener, any, &size) == 0,
        "no port to listen on");
  AnnouncePort(ntohs(address.sin_port));
  const int socket = accept(listener, nullptr, nullptr);
  close(listener);
  Check(socket >= 0, "nobody connected");
  Peer peer(socket, size_bytes);
  for (char order = 0; peer.ReceiveByte(order);) {
    if (order == kUpload) {
      peer.ReceiveMemory();
      peer.Send(&order, 1);
    } else {
      peer.SendMemory();
    }
  }
  return 0;
}

std::unique_ptr<Peer> Connect(int port, std::size_t size_bytes) {
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(port);
  Check(connect(client, reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) == 0,
        "the raw server can not be reached");
  return std::make_unique<Peer>(client, size_bytes);
}

double Upload(Peer& peer) {
  const Timer timer;
  peer.Send(&kUpload, 1);
  peer.SendMemory();
  char answer = 0;
  Check(peer.ReceiveByte(answer), "no answer to an upload");
  return timer.Seconds();
}

double Download(Peer& peer) {
  const Timer timer;
  peer.Send(&kDownload, 1);
  peer.ReceiveMemory();
  return timer.Seconds();
}

void Verify(Peer& peer) {
  const std::size_t size = peer.memory().size();
  FillWithNumbers(peer.memory().data(), size);
  std::vector<std::byte> sent(peer.memory().data(),
                              peer.memory().data() + size);
  Upload(peer);
  std::memset(peer.memory().data(), 0, size);
  Download(peer);
  Check(std::memcmp(sent.data(), peer.memory().data(), size) == 0,
        "other bytes came back through the raw socket");
}

int Obey() {
  std::unique_ptr<Peer> peer;
  return ServeCommands({
      {"connect",
       [&](const Arguments& arguments) {
         peer = Connect(static_cast<int>(arguments.Number(0)),
                        static_cast<std::size_t>(arguments.Number(1)));
         return Answer{};
       }},
      {"verify",
       [&](const Arguments&) {
         Verify(*peer);
         return Answer{};
       }},
      {"upload", [&](const Arguments&) { return Answer{Upload(*peer)}; }},
      {"download", [&](const Arguments&) { return Answer{Download(*peer)}; }},
  });
}

}  // namespace
}  // namespace tensord::bench

int main(int argc, char** argv) {
  using tensord::bench::Arguments;
  const Arguments arguments(std::vector<std::string>(argv + 1, argv + argc));
  if (arguments.Word(0) == "client") return tensord::bench::Obey();
  return tensord::bench::Serve(static_cast<std::size_t>(arguments.Number(1)));
}
