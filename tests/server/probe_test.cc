#include "server/probe.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tensord {
namespace {

using ::testing::HasSubstr;

std::string Probed(const std::vector<std::string>& listen) {
  const auto address = ProbedAddress(listen);
  return address.ok() ? ListenAddressString(*address)
                      : std::string(address.status().message());
}

TEST(ProbedAddressTest, IsTheFirstUnixSocketElseTheFirstAddress) {
  EXPECT_EQ(Probed({"127.0.0.1:1", "[::1]:2"}), "127.0.0.1:1");
  EXPECT_EQ(Probed({"0.0.0.0:1", "unix:/a", "unix:/b"}), "unix:/a");
  EXPECT_EQ(Probed({"localhost:0", "unix:/a"}), "unix:/a");
}

TEST(ProbedAddressTest, NeedsAPortThatIsKnown) {
  EXPECT_THAT(Probed({"localhost:0", "localhost:1"}),
              HasSubstr("can not probe localhost:0"));
  EXPECT_THAT(Probed({"localhost"}), HasSubstr("it has no port"));
  EXPECT_EQ(ProbedAddress({}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// A socket that connections are made to, and that nobody accepts from.
class SilentListener {
 public:
  SilentListener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    EXPECT_EQ(listen(fd_, 8), 0);
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~SilentListener() { close(fd_); }
  const std::string& address() const { return address_; }

 private:
  int fd_;
  std::string address_;
};

TEST(ProbeTest, EndsWhereNobodyAnswers) {
  const SilentListener silent;
  ServerOptions options;
  options.listen = {silent.address()};
  const absl::Status status =
      Probe(options, ProbeKind::kLiveness, absl::Milliseconds(50));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no health from " + silent.address()));
}

}  // namespace
}  // namespace tensord
