#include "server/listen_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/absl_text.h"

namespace tensord {
namespace {

constexpr int kMaxPort = 65535;

absl::Status BadAddress(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", absl::CHexEscape(ToAbsl(text)), "\" is not an address: ",
      ToAbsl(why), "; expected host:port or unix:PATH"));
}

absl::StatusOr<ListenAddress> ParseUnix(std::string_view text,
                                        std::string_view path) {
  if (path.starts_with("//")) {
    path.remove_prefix(2);
    if (!path.starts_with("/")) {
      return BadAddress(text, "unix:// takes an absolute path");
    }
    // With two of them it would read as a host, here and in gRPC.
    while (path.starts_with("//")) path.remove_prefix(1);
  }
  if (path.empty()) return BadAddress(text, "the path is empty");
  constexpr std::size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > kMaxPath) {
    return BadAddress(text,
                      absl::StrCat("a path has at most ", kMaxPath, " bytes"));
  }
  if (std::any_of(path.begin(), path.end(), absl::ascii_iscntrl)) {
    return BadAddress(text, "control character in the path");
  }
  return ListenAddress{.host = {}, .port = 0, .path = std::string(path)};
}

bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
         c == '-' || c == '_';
}

bool IsIpv6(const std::string& host) {
  in6_addr parsed;
  return inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

// What getaddrinfo finds; null if nothing.
using AddressInfo = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

AddressInfo Resolve(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.host.c_str(), absl::StrCat(address.port).c_str(),
                  &hints, &found) != 0) {
    found = nullptr;
  }
  return AddressInfo(found, &freeaddrinfo);
}

sockaddr_un UnixSocketAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(),
              std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Whether a connection to `address` is not refused.
bool Connects(const sockaddr* address, socklen_t size) {
  const Descriptor fd(socket(address->sa_family,
                             SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (connect(fd.get(), address, size) == 0) return true;
  if (errno != EINPROGRESS) return errno != ECONNREFUSED;
  constexpr int kPatienceMs = 1000;
  pollfd done{.fd = fd.get(), .events = POLLOUT, .revents = 0};
  int error = 0;
  socklen_t error_size = sizeof(error);
  return poll(&done, 1, kPatienceMs) != 1 ||
         getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &error_size) != 0 ||
         error != ECONNREFUSED;
}

absl::Status InTheWay(const std::string& path, std::string_view why) {
  return absl::UnavailableError(
      absl::StrCat("can not listen on unix:", path, ": ", ToAbsl(why)));
}

std::string ErrorText(int error) { return std::strerror(error); }

}  // namespace

absl::StatusOr<ListenAddress> ParseListenAddress(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    return ParseUnix(text, text.substr(kUnix.size()));
  }
  const std::size_t colon = text.rfind(':');
  if (colon == text.npos) return BadAddress(text, "it has no port");
  std::string_view port = text.substr(colon + 1);
  ListenAddress address;
  if (port.empty() || port.size() > 5 ||
      !std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(ToAbsl(port), &address.port) ||
      address.port > kMaxPort) {
    return BadAddress(text, absl::StrCat("a port is 0 to ", kMaxPort));
  }
  std::string_view host = text.substr(0, colon);
  if (host.starts_with("[") && host.ends_with("]")) {
    address.host = std::string(host.substr(1, host.size() - 2));
    if (IsIpv6(address.host)) return address;
    return BadAddress(text, "brackets hold an IPv6 address");
  }
  if (host.empty()) return BadAddress(text, "the host is empty");
  if (!std::all_of(host.begin(), host.end(), IsHostCharacter)) {
    return BadAddress(text, "the host is neither a name nor an address");
  }
  address.host = std::string(host);
  return address;
}

std::string ListenAddressString(const ListenAddress& address) {
  if (address.is_unix()) return absl::StrCat("unix:", address.path);
  if (address.host.find(':') != std::string::npos) {
    return absl::StrCat("[", address.host, "]:", address.port);
  }
  return absl::StrCat(address.host, ":", address.port);
}

bool IsLocal(const ListenAddress& address) {
  if (address.is_unix()) return true;
  if (address.host == "localhost") return true;
  in_addr v4;
  if (inet_pton(AF_INET, address.host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127;
  }
  in6_addr v6;
  return inet_pton(AF_INET6, address.host.c_str(), &v6) == 1 &&
         IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::Status RemoveStaleSocket(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return InTheWay(path, ErrorText(errno));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return InTheWay(path, "a file that is no socket is there");
  }
  if (info.st_uid != geteuid()) {
    return InTheWay(path, "the socket of another user is there");
  }
  if (IsAnswered({.host = {}, .port = 0, .path = path})) {
    return InTheWay(path, "another server is using it");
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return InTheWay(path, ErrorText(errno));
  }
  return absl::OkStatus();
}

bool IsAnswered(const ListenAddress& address) {
  if (address.is_unix()) {
    const sockaddr_un name = UnixSocketAddress(address.path);
    return Connects(reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  }
  const AddressInfo found = Resolve(address);
  return found != nullptr && Connects(found->ai_addr, found->ai_addrlen);
}

std::vector<SocketAddress> SocketAddresses(const ListenAddress& address) {
  std::vector<SocketAddress> addresses;
  const auto add = [&](const void* bytes, socklen_t size) {
    SocketAddress& added = addresses.emplace_back();
    std::memcpy(&added.storage, bytes, size);
    added.size = size;
  };
  if (address.is_unix()) {
    const sockaddr_un name = UnixSocketAddress(address.path);
    add(&name, sizeof(name));
    return addresses;
  }
  const AddressInfo found = Resolve(address);
  for (const addrinfo* one = found.get(); one != nullptr; one = one->ai_next) {
    add(one->ai_addr, one->ai_addrlen);
  }
  return addresses;
}

std::string BindProblem(const ListenAddress& address) {
  if (address.is_unix()) {
    const Descriptor fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un name = UnixSocketAddress(address.path);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&name),
             sizeof(name)) != 0) {
      return ErrorText(errno);
    }
    unlink(address.path.c_str());
    return "";
  }
  const AddressInfo found = Resolve(address);
  if (found == nullptr) return "there is no such host";
  std::string problem;
  for (const addrinfo* one = found.get(); one != nullptr; one = one->ai_next) {
    const Descriptor fd(
        socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd.get(), one->ai_addr, one->ai_addrlen) != 0 ||
        listen(fd.get(), 1) != 0) {
      problem = ErrorText(errno);
    }
  }
  return problem;
}

}  // namespace tensord
