// The addresses that a server listens on, as text and as parts.
#ifndef TENSORD_SERVER_LISTEN_ADDRESS_H_
#define TENSORD_SERVER_LISTEN_ADDRESS_H_

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tensord {

// "host:port" or "unix:PATH".
struct ListenAddress {
  // A name, an IPv4 address, or an IPv6 address without its brackets; empty for
  // a Unix socket.
  std::string host;
  // 0 asks for a free one.
  int port = 0;
  // Of a Unix socket; empty for TCP.
  std::string path;

  bool is_unix() const { return !path.empty(); }
  bool operator==(const ListenAddress&) const = default;
};

// Reads "127.0.0.1:50051", "[::1]:50051", "localhost:0", "unix:tensord.sock",
// "unix:///run/tensord.sock". INVALID_ARGUMENT, with the text, for anything
// else.
absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text);

// The text that gRPC understands, and that ParseListenAddress reads back.
std::string ListenAddressString(const ListenAddress& address);

// Whether only this machine can reach it: a Unix socket, localhost, 127.0.0.0/8
// or ::1.
bool IsLocal(const ListenAddress& address);

// Makes way for a new Unix socket at `path`: removes a socket of this user that
// nobody answers on. UNAVAILABLE if somebody does, or if what is there is
// something else.
absl::Status RemoveStaleSocket(const std::string& path);

// Connects to `address`, and hangs up at once. False only if the connection is
// refused: a server may have too much to do to take it.
bool IsAnswered(const ListenAddress& address);

// As the system takes it.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* get() const {
    return reinterpret_cast<const sockaddr*>(&storage);
  }
};

// Where to connect to reach a server that listens on `address`, which on Linux
// may be the wildcard; several for a name, none for one that is not known.
std::vector<SocketAddress> SocketAddresses(const ListenAddress& address);

// Why `address` can not be bound, in the system's words; empty if it can. Binds
// it for a moment to find out.
std::string BindProblem(const ListenAddress& address);

}  // namespace tensord

#endif  // TENSORD_SERVER_LISTEN_ADDRESS_H_
