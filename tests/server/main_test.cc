// The daemon as a process of its own.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "server/listen_address.h"
#include "server/process.h"
#include "tensord/v1/tensord.grpc.pb.h"
#include "test_calls.h"

namespace tensord {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A run of the daemon. What is still running is killed in the end.
class Daemon {
 public:
  // `program` may be another one that becomes the daemon.
  explicit Daemon(const std::vector<std::string>& arguments,
                  std::vector<std::string> environment = {},
                  const char* program = TENSORD_BINARY) {
    std::vector<std::string> words = {program};
    words.insert(words.end(), arguments.begin(), arguments.end());
    // What sanitizers are told has to reach the daemon too.
    for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"}) {
      const char* value = std::getenv(name);
      if (value != nullptr) {
        environment.push_back(std::string(name) + "=" + value);
      }
    }
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    EXPECT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(err.data(), O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
    EXPECT_EQ(posix_spawn(&pid_, program, &actions, nullptr,
                          Pointers(words).data(), Pointers(environment).data()),
              0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    close(err[1]);
    stdout_ = out[0];
    stderr_ = err[0];
  }

  ~Daemon() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    CloseOutput();
  }

  pid_t pid() const { return pid_; }

  // The next line of the standard error stream, without its line break; empty
  // at the end.
  std::string NextLine() {
    for (;;) {
      const std::size_t end = pending_.find('\n');
      if (end != pending_.npos) {
        std::string line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        return line;
      }
      if (!ReadMore(stderr_, pending_)) return std::exchange(pending_, "");
    }
  }

  // Lines up to and with `last`.
  std::vector<std::string> LinesUntil(const std::string& last) {
    std::vector<std::string> lines;
    do {
      lines.push_back(NextLine());
    } while (lines.back() != last && !lines.back().empty());
    return lines;
  }

  std::string AllOutput() {
    std::string output;
    while (ReadMore(stdout_, output)) {
    }
    return output;
  }

  // What is left of the standard error stream.
  std::string AllErrors() {
    while (ReadMore(stderr_, pending_)) {
    }
    return std::exchange(pending_, "");
  }

  void CloseOutput() {
    if (stdout_ >= 0) close(std::exchange(stdout_, -1));
    if (stderr_ >= 0) close(std::exchange(stderr_, -1));
  }

  void Signal(int signal) { kill(pid_, signal); }

  // The exit code; nothing if a signal ended it or nothing did for long.
  std::optional<int> ExitCode() {
    const absl::Time end = absl::Now() + kPatience;
    int status = 0;
    while (waitpid(pid_, &status, WNOHANG) == 0) {
      if (absl::Now() > end) return std::nullopt;
      absl::SleepFor(absl::Milliseconds(2));
    }
    pid_ = -1;
    if (!WIFEXITED(status)) return std::nullopt;
    return WEXITSTATUS(status);
  }

 private:
  static std::vector<char*> Pointers(std::vector<std::string>& words) {
    std::vector<char*> pointers;
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    return pointers;
  }

  // False at the end, or if nothing comes for long.
  static bool ReadMore(int fd, std::string& text) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1,
             static_cast<int>(absl::ToInt64Milliseconds(kPatience))) <= 0) {
      return false;
    }
    std::array<char, 4096> piece{};
    const ssize_t size = read(fd, piece.data(), piece.size());
    if (size <= 0) return false;
    text.append(piece.data(), static_cast<std::size_t>(size));
    return true;
  }

  pid_t pid_ = -1;
  int stdout_ = -1;
  int stderr_ = -1;
  std::string pending_;
};

const std::vector<std::string> kQuiet = {"--listen=127.0.0.1:0",
                                         "--memory_limit=64MiB"};

std::vector<std::string> With(std::vector<std::string> more) {
  more.insert(more.begin(), kQuiet.begin(), kQuiet.end());
  return more;
}

// The address in a line "event on address".
std::string AddressIn(const std::string& line, const std::string& event) {
  const std::string start = event + " on ";
  EXPECT_THAT(line, StartsWith(start));
  return line.substr(std::min(start.size(), line.size()));
}

TEST(MainTest, SaysWhereItServesUntilItIsToldToStop) {
  Daemon daemon(With({"--listen=localhost:0"}));
  const std::string first = AddressIn(daemon.NextLine(), "listening");
  const std::string second = AddressIn(daemon.NextLine(), "listening");
  const std::string metrics = AddressIn(daemon.NextLine(), "metrics");
  EXPECT_EQ(daemon.NextLine(), "ready");
  EXPECT_EQ(Health(Connect(first), ""), kServing);
  EXPECT_EQ(Health(Connect(second), ""), kServing);
  EXPECT_THAT(HttpGet(metrics, "/metrics").value_or(""),
              HasSubstr("tensord_memory_limit_bytes{device=\"cpu\"} 67108864"));
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.ExitCode(), 0);
  const std::vector<std::string> lines = daemon.LinesUntil("stopped");
  EXPECT_EQ(lines.back(), "stopped");
  EXPECT_EQ(lines.size(), 4u) << "two calls, draining, stopped";
  EXPECT_THAT(lines[0], StartsWith("call method=/grpc.health.v1.Health/Check "
                                   "code=OK peer=ipv"));
}

TEST(MainTest, StopsForAnInterruptToo) {
  Daemon daemon(kQuiet);
  daemon.LinesUntil("ready");
  daemon.Signal(SIGINT);
  EXPECT_EQ(daemon.ExitCode(), 0);
}

TEST(MainTest, EveryLineIsAnObjectInJson) {
  Daemon daemon(With({"--log_format=json"}));
  std::vector<std::string> events;
  const auto next = [&] {
    google::protobuf::Struct object;
    const std::string line = daemon.NextLine();
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &object).ok())
        << line;
    events.push_back(object.fields().contains("event")
                         ? object.fields().at("event").string_value()
                         : "");
    return object;
  };
  const auto listening = next();
  next();
  next();
  const std::string address = listening.fields().at("address").string_value();
  EXPECT_EQ(CallUnary(Connect(address), "/x\"y.Z/\\n", "").error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(next().fields().at("code").string_value(), "Unimplemented");
  daemon.Signal(SIGTERM);
  next();
  next();
  EXPECT_THAT(events, ::testing::ElementsAre("listening", "metrics", "ready",
                                             "call", "draining", "stopped"));
  EXPECT_EQ(daemon.ExitCode(), 0);
}

TEST(MainTest, TakesOptionsFromTheEnvironment) {
  Daemon daemon({}, {"TENSORD_LISTEN=127.0.0.1:0", "TENSORD_ACCESS_LOG=false",
                     "TENSORD_METRICS_LISTEN=none"});
  const std::string address = AddressIn(daemon.NextLine(), "listening");
  EXPECT_EQ(daemon.NextLine(), "ready");
  EXPECT_EQ(Health(Connect(address), ""), kServing);
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.NextLine(), "draining");
  EXPECT_EQ(daemon.ExitCode(), 0);
}

TEST(MainTest, ExplainsBadOptions) {
  for (const auto& [argument, word] :
       std::vector<std::pair<std::string, std::string>>{
           {"--bogus", "--bogus"},
           {"--memory_limit=lots", "lots"},
           {"--listen=0.0.0.0:0", "--insecure"},
           {"--max_tensor_bytes=65MiB", "68157440"},
           {"--tls_cert=/missing", "key"}}) {
    Daemon daemon(With({argument}));
    const std::string line = daemon.NextLine();
    EXPECT_THAT(line, StartsWith("tensord: "));
    EXPECT_THAT(line, HasSubstr(word));
    EXPECT_EQ(daemon.ExitCode(), 2) << argument;
  }
}

TEST(MainTest, ExplainsATakenPort) {
  Daemon first(kQuiet);
  const std::string address = AddressIn(first.NextLine(), "listening");
  Daemon second({"--listen=" + address, "--metrics_listen=none"});
  std::string last;
  for (std::string line = second.NextLine(); !line.empty();
       line = second.NextLine()) {
    last = line;
  }
  EXPECT_THAT(last, StartsWith("tensord: can not listen on " + address));
  EXPECT_EQ(second.ExitCode(), 1);
}

// Runs the daemon where so many files may be open at most.
class DaemonWithFiles : public Daemon {
 public:
  DaemonWithFiles(int files, std::vector<std::string> arguments)
      : Daemon(Words(files, std::move(arguments)), {}, "/bin/sh") {}

 private:
  static std::vector<std::string> Words(int files,
                                        std::vector<std::string> arguments) {
    arguments.insert(
        arguments.begin(),
        {"-c", "ulimit -n " + std::to_string(files) + " && exec \"$0\" \"$@\"",
         TENSORD_BINARY});
    return arguments;
  }
};

TEST(MainTest, WantsEnoughOpenFiles) {
  DaemonWithFiles few(4095, kQuiet);
  EXPECT_EQ(few.NextLine(),
            "tensord: only 4095 files may be open, and connections could use "
            "them up; 4096 or more are needed (ulimit -Hn)");
  EXPECT_EQ(few.ExitCode(), 1);
  DaemonWithFiles enough(4096, kQuiet);
  EXPECT_EQ(enough.LinesUntil("ready").back(), "ready");
}

// Lowers the number of files that a process may have open.
void SetOpenFiles(pid_t pid, rlim_t files) {
  rlimit limit{};
  ASSERT_EQ(prlimit(pid, RLIMIT_NOFILE, nullptr, &limit), 0);
  limit.rlim_cur = files;
  ASSERT_EQ(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr), 0);
}

// Connections, until destroyed.
class Connections {
 public:
  Connections(const std::string& address, int count) {
    const SocketAddress target =
        SocketAddresses(*ParseListenAddress(address)).front();
    for (int i = 0; i < count; ++i) {
      fds_.push_back(
          socket(target.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
      EXPECT_EQ(connect(fds_.back(), target.get(), target.size), 0);
    }
  }
  ~Connections() {
    for (const int fd : fds_) close(fd);
  }

 private:
  std::vector<int> fds_;
};

class ListenerDeathTest : public testing::TestWithParam<bool> {};

// Once file descriptors ran out, gRPC 1.51 accepts no connection again, even if
// there are some later. Connections made before are served to the end.
TEST_P(ListenerDeathTest, EndsADaemonThatAcceptsNoConnections) {
#ifdef TENSORD_SANITIZED
  GTEST_SKIP() << "sanitizers need file descriptors themselves";
#endif
  const bool files_come_back = GetParam();
  Daemon daemon(With({"--listener_watch_seconds=1", "--log_format=json"}));
  const std::string line = daemon.NextLine();
  google::protobuf::Struct listening;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(line, &listening).ok());
  const std::string address = listening.fields().at("address").string_value();
  const auto channel = Connect(address);
  EXPECT_EQ(Health(channel, ""), kServing);
  SetOpenFiles(daemon.pid(), 60);
  std::optional<Connections> connections(std::in_place, address, 80);
  const absl::Time start = absl::Now();
  if (files_come_back) {
    absl::SleepFor(absl::Milliseconds(300));
    connections.reset();
    SetOpenFiles(daemon.pid(), kMinOpenFiles);
  }
  EXPECT_EQ(Health(channel, ""), kServing);
  EXPECT_EQ(daemon.ExitCode(), 3);
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  std::string log;
  for (std::string next = daemon.NextLine(); !next.empty();
       next = daemon.NextLine()) {
    log += next + "\n";
  }
  EXPECT_THAT(log, HasSubstr("\"event\":\"not_accepting\""));
  EXPECT_THAT(log, HasSubstr("\"address\":\"" + address + "\""));
  EXPECT_THAT(log, HasSubstr("\"event\":\"stopped\""));
}

INSTANTIATE_TEST_SUITE_P(FilesComeBack, ListenerDeathTest, ::testing::Bool());

TEST(MainTest, LooksAtItselfWithoutATrace) {
  const std::string socket = ::testing::TempDir() + "tensord-main-test.sock";
  Daemon daemon(With({"--listener_watch_seconds=1", "--listen=unix:" + socket,
                      "--listen=localhost:0", "--listen=0.0.0.0:0",
                      "--tls_cert=" TENSORD_TLS_FILES "/server.pem",
                      "--tls_key=" TENSORD_TLS_FILES "/server.key"}));
  const std::vector<std::string> start = daemon.LinesUntil("ready");
  const std::string metrics = AddressIn(start[start.size() - 2], "metrics");
  // Some looks at each address.
  absl::SleepFor(absl::Milliseconds(2500));
  const std::string page = HttpGet(metrics, "/metrics").value_or("");
  int series = 0;
  for (const auto line : absl::StrSplit(page, '\n')) {
    if (!absl::StartsWith(line, "grpc_server_started_total{")) continue;
    ++series;
    EXPECT_TRUE(absl::EndsWith(line, "} 0")) << line;
  }
  EXPECT_GT(series, 0);
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.NextLine(), "draining");
  EXPECT_EQ(daemon.NextLine(), "stopped");
  EXPECT_EQ(daemon.ExitCode(), 0);
}

TEST(MainTest, PrintsHelpAndVersion) {
  Daemon help({"--help"});
  EXPECT_THAT(help.AllOutput(), HasSubstr("TENSORD_LISTEN"));
  EXPECT_EQ(help.ExitCode(), 0);
  Daemon version({"--version"});
  EXPECT_THAT(version.AllOutput(),
              ::testing::MatchesRegex("tensord [0-9.]+\n"));
  EXPECT_EQ(version.ExitCode(), 0);
}

// A ConvertArray stream that has begun and waits for its array.
class HeldCall {
 public:
  explicit HeldCall(const std::string& address)
      : stub_(v1::TensorService::NewStub(Connect(address))) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
    stream_ = stub_->ConvertArray(&context_);
    v1::ConvertArrayRequest request;
    v1::ArrayDeclaration& array =
        *request.mutable_declaration()->mutable_array();
    array.mutable_raw()->set_dtype(v1::DTYPE_UINT8);
    array.mutable_raw()->add_shape(4);
    array.set_total_bytes(4);
    stream_->Write(request);
    v1::ConvertArrayResponse header;
    EXPECT_TRUE(stream_->Read(&header));
  }
  ~HeldCall() { context_.TryCancel(); }

  grpc::Status Finish() {
    v1::ConvertArrayRequest request;
    request.mutable_chunk()->set_data("abcd");
    request.set_finish(true);
    stream_->Write(request);
    stream_->WritesDone();
    v1::ConvertArrayResponse response;
    while (stream_->Read(&response)) {
    }
    return stream_->Finish();
  }

 private:
  std::unique_ptr<v1::TensorService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ConvertArrayRequest,
                                           v1::ConvertArrayResponse>>
      stream_;
};

TEST(MainTest, LetsCallsFinishWhenItIsToldToStop) {
  Daemon daemon(kQuiet);
  const std::string address = AddressIn(daemon.NextLine(), "listening");
  HeldCall call(address);
  daemon.Signal(SIGTERM);
  daemon.LinesUntil("draining");
  EXPECT_TRUE(call.Finish().ok());
  EXPECT_EQ(daemon.ExitCode(), 0);
}

TEST(MainTest, ASecondSignalEndsItAtOnce) {
  Daemon daemon(With({"--drain_seconds=3600"}));
  const std::string address = AddressIn(daemon.NextLine(), "listening");
  const HeldCall call(address);
  daemon.Signal(SIGTERM);
  daemon.LinesUntil("draining");
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.ExitCode(), 128 + SIGTERM);
}

TEST(MainTest, OutlivesTheReaderOfItsLog) {
  Daemon daemon(kQuiet);
  const std::string address = AddressIn(daemon.NextLine(), "listening");
  daemon.LinesUntil("ready");
  daemon.CloseOutput();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Health(Connect(address), ""), kServing);
  }
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.ExitCode(), 0);
}

// Sockets of this test, removed with it.
class SocketPath {
 public:
  explicit SocketPath(const std::string& name)
      : path_(::testing::TempDir() + "tensord-" + std::to_string(getpid()) +
              "-" + name) {}
  SocketPath(const SocketPath&) = delete;
  SocketPath& operator=(const SocketPath&) = delete;
  ~SocketPath() { unlink(path_.c_str()); }
  const std::string& get() const { return path_; }

 private:
  const std::string path_;
};

// What a probe says, and its exit code.
struct Probed {
  std::optional<int> code;
  std::string output;
};

Probed RunProbe(std::vector<std::string> arguments,
                std::vector<std::string> environment = {},
                const std::string& probe = "--probe") {
  arguments.push_back(probe);
  Daemon process(arguments, std::move(environment));
  Probed probed;
  probed.output = process.AllErrors() + process.AllOutput();
  probed.code = process.ExitCode();
  return probed;
}

MATCHER(SaysNothingButYes, "") {
  *result_listener << "code " << arg.code.value_or(-1) << ": " << arg.output;
  return arg.code == 0 && arg.output.empty();
}

MATCHER_P2(SaysNo, code, word, "") {
  *result_listener << "code " << arg.code.value_or(-1) << ": " << arg.output;
  return arg.code == code && absl::StartsWith(arg.output, "tensord: ") &&
         absl::StrContains(arg.output, word) &&
         std::count(arg.output.begin(), arg.output.end(), '\n') == 1;
}

TEST(ProbeTest, IsAnsweredByAServerThatServes) {
  Daemon daemon(kQuiet);
  const std::string address = AddressIn(daemon.NextLine(), "listening");
  daemon.LinesUntil("ready");
  EXPECT_THAT(RunProbe({"--listen=" + address}), SaysNothingButYes());
  EXPECT_THAT(RunProbe({"--listen=" + address}, {}, "--probe=liveness"),
              SaysNothingButYes());
  EXPECT_THAT(RunProbe({}, {"TENSORD_LISTEN=" + address}), SaysNothingButYes());
  const std::string port = address.substr(address.rfind(':'));
  EXPECT_THAT(RunProbe({"--listen=0.0.0.0" + port}), SaysNothingButYes())
      << "without --insecure";
}

TEST(ProbeTest, GoesThroughNoProxy) {
  Daemon daemon(kQuiet);
  const std::string address = AddressIn(daemon.NextLine(), "listening");
  daemon.LinesUntil("ready");
  EXPECT_THAT(
      RunProbe({"--listen=" + address}, {"http_proxy=http://127.0.0.1:1",
                                         "https_proxy=http://127.0.0.1:1",
                                         "grpc_proxy=http://127.0.0.1:1"}),
      SaysNothingButYes());
}

TEST(ProbeTest, PrefersAUnixSocket) {
  const SocketPath socket("probe.sock");
  Daemon daemon({"--listen=unix:" + socket.get(), "--memory_limit=64MiB",
                 "--metrics_listen=none"});
  daemon.LinesUntil("ready");
  EXPECT_THAT(
      RunProbe({"--listen=127.0.0.1:1", "--listen=unix:" + socket.get()}),
      SaysNothingButYes());
  EXPECT_THAT(RunProbe({"--listen=127.0.0.1:1"}), SaysNo(1, "127.0.0.1:1"));
}

TEST(ProbeTest, SpeaksTlsToAServerThatDoes) {
  // A certificate that the probe's address is not among, and clients that need
  // one themselves.
  const std::vector<std::string> tls = {
      "--tls_cert=" TENSORD_TLS_FILES "/server.pem",
      "--tls_key=" TENSORD_TLS_FILES "/server.key",
      "--tls_client_ca=" TENSORD_TLS_FILES "/ca.pem"};
  for (const bool asks_clients : {false, true}) {
    std::vector<std::string> arguments = tls;
    if (!asks_clients) arguments.pop_back();
    arguments.emplace_back("--metrics_listen=none");
    arguments.emplace_back("--listen=0.0.0.0:0");
    Daemon daemon(arguments);
    arguments.back() = "--listen=" + AddressIn(daemon.NextLine(), "listening");
    EXPECT_EQ(daemon.NextLine(), "ready");
    EXPECT_THAT(RunProbe(arguments), SaysNothingButYes());
    EXPECT_THAT(daemon.NextLine(), StartsWith("call method="))
        << "nothing that gRPC complains of";
    EXPECT_THAT(RunProbe({arguments.back()}), SaysNo(1, "no health"))
        << "in plaintext";
    daemon.Signal(SIGTERM);
    EXPECT_EQ(daemon.ExitCode(), 0);
  }
}

TEST(ProbeTest, SaysNoOfAServerThatDrains) {
  Daemon daemon(With({"--drain_seconds=3600"}));
  const std::string address = AddressIn(daemon.NextLine(), "listening");
  const HeldCall call(address);
  daemon.Signal(SIGTERM);
  daemon.LinesUntil("draining");
  // It takes no new connections then.
  EXPECT_THAT(RunProbe({"--listen=" + address}), SaysNo(1, address));
  daemon.Signal(SIGTERM);
}

TEST(ProbeTest, TellsMistakesFromServersThatAreNotWell) {
  EXPECT_THAT(RunProbe({"--listen=127.0.0.1:1"}), SaysNo(1, "127.0.0.1:1"));
  EXPECT_THAT(RunProbe({"--listen=127.0.0.1:0"}), SaysNo(2, "127.0.0.1:0"));
  EXPECT_THAT(RunProbe({"--listen=nowhere"}), SaysNo(2, "nowhere"));
  EXPECT_THAT(RunProbe({"--listen=127.0.0.1:1", "--tls_cert=/missing",
                        "--tls_key=/missing", "--tls_client_ca=/missing"}),
              SaysNo(2, "/missing"));
}

// Where a supervisor is told how its service is.
class Supervisor {
 public:
  // A path, or a name behind an @.
  explicit Supervisor(const std::string& name)
      : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::copy(name.begin(), name.end(), address.sun_path);
    if (name.front() == '@') address.sun_path[0] = '\0';
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                          name.size())),
              0);
  }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor() { close(fd_); }

  // The next message; empty if none comes.
  std::string Next() {
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1,
             static_cast<int>(absl::ToInt64Milliseconds(kPatience))) <= 0) {
      return "";
    }
    std::array<char, 256> message{};
    const ssize_t size = recv(fd_, message.data(), message.size(), 0);
    return {message.data(),
            static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
  }

  bool HasMore() const {
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    return poll(&ready, 1, 0) > 0;
  }

 private:
  int fd_;
};

TEST(MainTest, TellsItsSupervisorWhenItIsReadyAndWhenItStops) {
  const SocketPath socket("notify.sock");
  for (const std::string& name :
       {socket.get(), "@tensord-main-test-" + std::to_string(getpid())}) {
    Supervisor supervisor(name);
    Daemon daemon(kQuiet, {"NOTIFY_SOCKET=" + name});
    const std::string address = AddressIn(daemon.NextLine(), "listening");
    EXPECT_EQ(supervisor.Next(), "READY=1");
    EXPECT_EQ(Health(Connect(address), ""), kServing);
    EXPECT_FALSE(supervisor.HasMore());
    daemon.Signal(SIGTERM);
    EXPECT_EQ(supervisor.Next(), "STOPPING=1");
    EXPECT_EQ(daemon.ExitCode(), 0);
  }
}

TEST(MainTest, ServesWhateverItsSupervisorHears) {
  for (const std::string& name :
       {std::string("/nobody/there"), std::string(), std::string(200, 'x')}) {
    Daemon daemon(kQuiet, {"NOTIFY_SOCKET=" + name});
    EXPECT_EQ(daemon.LinesUntil("ready").back(), "ready");
    daemon.Signal(SIGTERM);
    EXPECT_EQ(daemon.ExitCode(), 0);
  }
}

}  // namespace
}  // namespace tensord
