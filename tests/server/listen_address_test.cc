#include "server/listen_address.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/temp_folder.h"

namespace tensord {
namespace {

using ::testing::HasSubstr;

struct AddressCase {
  std::string text;
  ListenAddress address;
  bool is_local;
};

class ListenAddressTest : public ::testing::TestWithParam<AddressCase> {};

TEST_P(ListenAddressTest, ReadsAndWrites) {
  const AddressCase& one = GetParam();
  const auto parsed = ParseListenAddress(one.text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, one.address);
  EXPECT_EQ(IsLocal(*parsed), one.is_local);
  const auto again = ParseListenAddress(ListenAddressString(*parsed));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, *parsed);
}

INSTANTIATE_TEST_SUITE_P(
    Addresses, ListenAddressTest,
    ::testing::Values(
        AddressCase{"127.0.0.1:50051", {"127.0.0.1", 50051, ""}, true},
        AddressCase{"127.8.9.10:1", {"127.8.9.10", 1, ""}, true},
        AddressCase{"localhost:0", {"localhost", 0, ""}, true},
        AddressCase{"[::1]:65535", {"::1", 65535, ""}, true},
        AddressCase{"[::]:80", {"::", 80, ""}, false},
        AddressCase{"0.0.0.0:80", {"0.0.0.0", 80, ""}, false},
        AddressCase{"128.0.0.1:80", {"128.0.0.1", 80, ""}, false},
        AddressCase{
            "localhost.example:80", {"localhost.example", 80, ""}, false},
        AddressCase{"gpu-7.example:80", {"gpu-7.example", 80, ""}, false},
        AddressCase{"unix:a.sock", {"", 0, "a.sock"}, true},
        AddressCase{"unix:/run/a.sock", {"", 0, "/run/a.sock"}, true},
        AddressCase{"unix:///run/a.sock", {"", 0, "/run/a.sock"}, true},
        // What is left behind "unix:" must not look like a host.
        AddressCase{"unix://///run//a", {"", 0, "/run//a"}, true}));

TEST(ParseListenAddressTest, RefusesWhatIsNoAddress) {
  for (const std::string text :
       {"",          ":",          ":80",
        "host",      "host:",      "host:-1",
        "host:+1",   "host:65536", "host:99999999999999999999",
        "host:8o",   "host: 80",   "::1:80",
        "[::1]",     "[]:80",      "[localhost]:80",
        "[::1:80",   "ho st:80",   "a/b:80",
        "a@b:80",    "unix:",      "unix://a.sock",
        "unix:a\nb", "tcp:host:80"}) {
    const auto parsed = ParseListenAddress(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(ParseListenAddressTest, BoundsPathsAsTheKernelDoes) {
  const std::size_t limit = sizeof(sockaddr_un::sun_path) - 1;
  EXPECT_TRUE(ParseListenAddress("unix:" + std::string(limit, 'a')).ok());
  EXPECT_FALSE(ParseListenAddress("unix:" + std::string(limit + 1, 'a')).ok());
}

TEST(ParseListenAddressTest, EscapesWhatItRefuses) {
  const auto parsed = ParseListenAddress("ho\x1b[31mst");
  EXPECT_EQ(std::string(parsed.status().message()).find('\x1b'),
            std::string::npos);
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("\\x1b"));
}

// A folder of its own, and sockets in it.
class SocketFileTest : public ::testing::Test {
 protected:
  // A socket bound to path_, listening or not; the caller closes it.
  int Bind(bool listens) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path_.c_str(), sizeof(name.sun_path) - 1);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
    if (listens) {
      EXPECT_EQ(listen(fd, 1), 0);
    }
    return fd;
  }

  TempFolder folder_;
  std::filesystem::path path_ = folder_ / "s";
};

TEST_F(SocketFileTest, NothingThereIsFine) {
  EXPECT_TRUE(RemoveStaleSocket(path_).ok());
}

TEST_F(SocketFileTest, RemovesWhatNobodyAnswersOn) {
  close(Bind(/*listens=*/true));
  ASSERT_TRUE(std::filesystem::exists(path_));
  EXPECT_TRUE(RemoveStaleSocket(path_).ok());
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SocketFileTest, KeepsWhatSomebodyAnswersOn) {
  const int fd = Bind(/*listens=*/true);
  const absl::Status status = RemoveStaleSocket(path_);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(std::filesystem::exists(path_));
  close(fd);
}

TEST_F(SocketFileTest, KeepsWhatIsAnsweredTooSlowly) {
  const int fd = Bind(/*listens=*/true);
  ListenAddress address;
  address.path = path_;
  // Nobody accepts, so the queue fills up.
  std::vector<int> waiting;
  for (int i = 0; i < 8; ++i) {
    waiting.push_back(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::strncpy(name.sun_path, path_.c_str(), sizeof(name.sun_path) - 1);
    (void)connect(waiting.back(), reinterpret_cast<sockaddr*>(&name),
                  sizeof(name));
  }
  EXPECT_TRUE(IsAnswered(address));
  EXPECT_FALSE(RemoveStaleSocket(path_).ok());
  for (const int one : waiting) close(one);
  close(fd);
}

TEST_F(SocketFileTest, KeepsOtherFiles) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(RemoveStaleSocket(path_).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(SocketFileTest, KeepsWhatALinkLeadsTo) {
  const std::filesystem::path target = path_;
  close(Bind(/*listens=*/true));
  path_ = folder_ / "link";
  std::filesystem::create_symlink(target, path_);
  EXPECT_FALSE(RemoveStaleSocket(path_).ok());
  EXPECT_TRUE(std::filesystem::exists(target));
}

TEST_F(SocketFileTest, TellsWhyItCanNotBeBound) {
  ListenAddress address;
  address.path = path_;
  EXPECT_EQ(BindProblem(address), "");
  EXPECT_FALSE(std::filesystem::exists(path_));
  address.path = folder_ / "missing" / "s";
  EXPECT_EQ(BindProblem(address), std::strerror(ENOENT));
}

TEST(IsAnsweredTest, TellsAnOpenPortFromAClosedOne) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(name);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), size), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size), 0);
  const ListenAddress address{"127.0.0.1", ntohs(name.sin_port), ""};
  EXPECT_FALSE(IsAnswered(address));
  ASSERT_EQ(listen(fd, 1), 0);
  EXPECT_TRUE(IsAnswered(address));
  EXPECT_EQ(BindProblem(address), std::strerror(EADDRINUSE));
  close(fd);
}

TEST(BindProblemTest, TellsWhatIsTaken) {
  EXPECT_EQ(BindProblem({"127.0.0.1", 0, ""}), "");
  // An address of documentation, which no machine has.
  EXPECT_EQ(BindProblem({"192.0.2.1", 0, ""}), std::strerror(EADDRNOTAVAIL));
}

}  // namespace
}  // namespace tensord
