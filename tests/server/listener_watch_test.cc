#include "server/listener_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/listen_address.h"
#include "test_calls.h"
#include "tests/eventually.h"
#include "tests/temp_folder.h"

namespace tensord {
namespace {

constexpr ListenerWatch::Options kQuick = {.patience = absl::Milliseconds(50),
                                           .max_unanswered = 3};

// A socket that listens, and accepts while it is told to. What it accepts it
// answers: with a byte, or by hanging up.
class Listener {
 public:
  enum class Answer { kByte, kHangUp };

  explicit Listener(const ListenAddress& address, Answer answer = Answer::kByte)
      : answer_(answer) {
    SocketAddress bound = SocketAddresses(address).front();
    fd_ = socket(bound.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(fd_, bound.get(), bound.size), 0) << std::strerror(errno);
    EXPECT_EQ(listen(fd_, 100), 0);
    address_ = address;
    if (!address.is_unix()) {
      bound.size = sizeof(bound.storage);
      getsockname(fd_, reinterpret_cast<sockaddr*>(&bound.storage),
                  &bound.size);
      // The same place in both families.
      address_.port =
          ntohs(reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port);
    }
  }
  ~Listener() {
    Stop();
    close(fd_);
  }

  std::string address() const { return ListenAddressString(address_); }

  void Accept() {
    thread_.emplace([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
        if (poll(&ready, 1, /*timeout=*/5) != 1) continue;
        const int taken = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        if (answer_ == Answer::kByte) send(taken, "x", 1, MSG_NOSIGNAL);
        close(taken);
        ++accepted_;
      }
    });
  }
  // Connections go on to be completed, and wait.
  void Stop() { thread_.reset(); }

  int accepted() const { return accepted_; }

 private:
  const Answer answer_;
  int fd_ = -1;
  ListenAddress address_;
  std::atomic<int> accepted_ = 0;
  std::optional<std::jthread> thread_;
};

// What a watch said.
class Silence {
 public:
  ListenerWatch::OnSilence Callback() {
    return [this](const std::string& address, const std::string& message) {
      const std::lock_guard lock(mutex_);
      told_.push_back({address, message});
      changed_.notify_all();
    };
  }

  // The address and the message, or nothing if none comes for so long.
  std::optional<std::pair<std::string, std::string>> Wait(
      absl::Duration most = kPatience) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(most),
                      [&] { return !told_.empty(); });
    EXPECT_LE(told_.size(), 1u);
    if (told_.empty()) return std::nullopt;
    return told_.front();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::string, std::string>> told_;
};

void WaitFor(const std::function<bool()>& holds) {
  EXPECT_TRUE(Eventually(holds));
}

class ListenerWatchTest : public ::testing::TestWithParam<std::string> {
 protected:
  ListenAddress Address() const {
    if (GetParam() == "unix") {
      return {.host = {}, .port = 0, .path = folder_ / "s"};
    }
    return *ParseListenAddress(GetParam());
  }

  TempFolder folder_;
};

TEST_P(ListenerWatchTest, HasNothingToSayOfOneThatAnswers) {
  for (const auto answer :
       {Listener::Answer::kByte, Listener::Answer::kHangUp}) {
    Listener listener(Address(), answer);
    listener.Accept();
    Silence silence;
    {
      const ListenerWatch watch({listener.address()}, kQuick,
                                silence.Callback());
      WaitFor([&] { return listener.accepted() >= 5; });
    }
    EXPECT_FALSE(silence.Wait(absl::ZeroDuration()).has_value());
    std::filesystem::remove(folder_ / "s");
  }
}

TEST_P(ListenerWatchTest, TellsOfOneThatNoLongerAccepts) {
  Listener listener(Address());
  listener.Accept();
  Silence silence;
  const ListenerWatch watch({listener.address()}, kQuick, silence.Callback());
  WaitFor([&] { return listener.accepted() >= 2; });
  listener.Stop();
  const absl::Time start = absl::Now();
  const auto told = silence.Wait();
  ASSERT_TRUE(told.has_value());
  EXPECT_GE(absl::Now() - start, 3 * kQuick.patience / 2);
  EXPECT_EQ(told->first, listener.address());
  EXPECT_EQ(told->second,
            "3 connections in a row had no answer within 50ms each: new ones "
            "are not accepted any more");
}

TEST_P(ListenerWatchTest, TellsOfOneAmongSeveral) {
  Listener well({.host = "127.0.0.1", .port = 0, .path = {}});
  Listener ill(Address());
  well.Accept();
  ill.Accept();
  Silence silence;
  const ListenerWatch watch({well.address(), ill.address()}, kQuick,
                            silence.Callback());
  WaitFor([&] { return ill.accepted() >= 1; });
  ill.Stop();
  EXPECT_EQ(silence.Wait().value_or(std::pair("", "")).first, ill.address());
}

TEST_P(ListenerWatchTest, ForgivesShortSilence) {
  Listener listener(Address());
  Silence silence;
  listener.Accept();
  const ListenerWatch watch(
      {listener.address()},
      {.patience = absl::Milliseconds(50), .max_unanswered = 20},
      silence.Callback());
  for (int i = 1; i <= 3; ++i) {
    WaitFor([&] { return listener.accepted() >= 1; });
    listener.Stop();
    absl::SleepFor(absl::Milliseconds(100));
    listener.Accept();
    const int accepted = listener.accepted();
    WaitFor([&] { return listener.accepted() > accepted + 5; });
  }
  EXPECT_FALSE(silence.Wait(absl::ZeroDuration()).has_value());
}

TEST_P(ListenerWatchTest, NeedsNoDescriptorThatItDoesNotHave) {
  Listener listener(Address());
  listener.Accept();
  Silence silence;
  const ListenerWatch watch({listener.address()}, kQuick, silence.Callback());
  WaitFor([&] { return listener.accepted() >= 2; });
  listener.Stop();
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  // The socket that it had was enough for one look, which tells of nothing.
  EXPECT_FALSE(silence.Wait(10 * kQuick.patience).has_value());
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_TRUE(silence.Wait().has_value());
}

INSTANTIATE_TEST_SUITE_P(Addresses, ListenerWatchTest,
                         ::testing::Values("127.0.0.1:0", "0.0.0.0:0", "unix"));

TEST(ListenerWatchOfNothingTest, KnowsOnlyWhatAnsweredOnce) {
  const Listener listener({.host = "127.0.0.1", .port = 0, .path = {}});
  Silence silence;
  const ListenerWatch watch({listener.address(), "127.0.0.1:1", "unix:missing"},
                            kQuick, silence.Callback());
  EXPECT_FALSE(silence.Wait(10 * kQuick.patience).has_value());
}

TEST(ListenerWatchOfNothingTest, EndsAtOnce) {
  const Listener listener({.host = "127.0.0.1", .port = 0, .path = {}});
  const absl::Time start = absl::Now();
  for (const std::string& address :
       {listener.address(), std::string("unix:missing")}) {
    const ListenerWatch watch({address}, {.patience = kPatience}, nullptr);
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_LT(absl::Now() - start, kPatience / 2);
}

}  // namespace
}  // namespace tensord
