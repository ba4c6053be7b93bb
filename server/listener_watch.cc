#include "server/listener_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/listen_address.h"

namespace tensord {
namespace {

using SteadyClock = std::chrono::steady_clock;

void CloseIfOpen(int& fd) {
  if (fd >= 0) close(std::exchange(fd, -1));
}

// One address, and the connection to it that is being tried.
class Probe {
 public:
  Probe(std::string name, const SocketAddress& address)
      : name_(std::move(name)), address_(address) {
    KeepSpare();
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  ~Probe() {
    CloseIfOpen(fd_);
    CloseIfOpen(spare_);
  }

  const std::string& name() const { return name_; }
  int unanswered() const { return unanswered_; }
  bool is_waiting() const { return fd_ >= 0; }

  // What to wait for.
  pollfd events() const {
    return {
        .fd = fd_,
        .events = static_cast<std::int16_t>(is_connected_ ? POLLIN : POLLOUT),
        .revents = 0};
  }

  void Begin() {
    KeepSpare();
    fd_ = std::exchange(spare_, -1);
    is_connected_ = false;
    if (fd_ < 0) return;
    if (connect(fd_, address_.get(), address_.size) == 0) {
      SendNothing();
    } else if (errno != EINPROGRESS) {
      Refused(errno);
    }
  }

  // What it waited for has come.
  void Continue() {
    if (is_connected_) return End(Outcome::kAnswered);
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return Refused(error);
    SendNothing();
  }

  void GiveUp() { End(Outcome::kUnanswered); }

 private:
  enum class Outcome : std::uint8_t { kAnswered, kUnanswered, kUnknown };

  void KeepSpare() {
    if (spare_ >= 0) return;
    spare_ = socket(address_.get()->sa_family,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  }

  void SendNothing() {
    is_connected_ = true;
    shutdown(fd_, SHUT_WR);
  }

  void Refused(int error) {
    // A Unix socket says EAGAIN when too many wait to be accepted.
    const bool is_its_doing =
        error == ECONNREFUSED || error == EAGAIN || error == ETIMEDOUT;
    End(is_its_doing ? Outcome::kUnanswered : Outcome::kUnknown);
  }

  void End(Outcome outcome) {
    CloseIfOpen(fd_);
    // Before anyone else takes the descriptor.
    KeepSpare();
    if (outcome == Outcome::kAnswered) {
      has_answered_ = true;
      unanswered_ = 0;
    } else if (outcome == Outcome::kUnanswered && has_answered_) {
      ++unanswered_;
    }
  }

  const std::string name_;
  const SocketAddress address_;
  int fd_ = -1;
  int spare_ = -1;
  bool is_connected_ = false;
  bool has_answered_ = false;
  // In a row.
  int unanswered_ = 0;
};

}  // namespace

// What the thread does. Stop may be called from any thread.
class ListenerWatch::Rounds {
 public:
  Rounds(const std::vector<std::string>& addresses, const Options& options,
         OnSilence on_silence)
      : options_(options),
        on_silence_(std::move(on_silence)),
        stop_(eventfd(0, EFD_CLOEXEC)) {
    for (const std::string& text : addresses) {
      const auto address = ParseListenAddress(text);
      if (!address.ok()) continue;
      for (const SocketAddress& one : SocketAddresses(*address)) {
        probes_.push_back(std::make_unique<Probe>(text, one));
      }
    }
  }
  Rounds(const Rounds&) = delete;
  Rounds& operator=(const Rounds&) = delete;
  ~Rounds() { CloseIfOpen(stop_); }

  void Run() {
    for (;;) {
      const auto end =
          SteadyClock::now() + absl::ToChronoMilliseconds(options_.patience);
      for (const auto& probe : probes_) probe->Begin();
      if (!Wait(end)) return;
      const auto silent = std::find_if(
          probes_.begin(), probes_.end(), [this](const auto& probe) {
            return probe->unanswered() >= options_.max_unanswered;
          });
      if (silent != probes_.end()) return Tell(**silent);
      std::vector<pollfd> none;
      if (StopsBefore(end, none)) return;
    }
  }

  void Stop() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(stop_, &one, sizeof(one));
  }

 private:
  // Until each connection has its answer, or at `end` none; false when stopped.
  bool Wait(SteadyClock::time_point end) {
    for (;;) {
      std::vector<Probe*> waiting;
      std::vector<pollfd> events;
      for (const auto& probe : probes_) {
        if (!probe->is_waiting()) continue;
        waiting.push_back(probe.get());
        events.push_back(probe->events());
      }
      if (waiting.empty()) return true;
      if (SteadyClock::now() >= end) {
        for (Probe* probe : waiting) probe->GiveUp();
        return true;
      }
      if (StopsBefore(end, events)) return false;
      for (std::size_t i = 0; i < waiting.size(); ++i) {
        if (events[i].revents != 0) waiting[i]->Continue();
      }
    }
  }

  // Waits for one of `events`, or until `end`; whether the watch is to stop.
  bool StopsBefore(SteadyClock::time_point end,
                   std::vector<pollfd>& events) const {
    events.push_back({.fd = stop_, .events = POLLIN, .revents = 0});
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - SteadyClock::now());
    const int ready =
        poll(events.data(), events.size(),
             static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    return ready > 0 && events.back().revents != 0;
  }

  void Tell(const Probe& probe) const {
    on_silence_(probe.name(),
                absl::StrCat(probe.unanswered(),
                             " connections in a row had no answer within ",
                             absl::FormatDuration(options_.patience),
                             " each: new ones are not accepted any more"));
  }

  const Options options_;
  const OnSilence on_silence_;
  int stop_;
  std::vector<std::unique_ptr<Probe>> probes_;
};

ListenerWatch::ListenerWatch(const std::vector<std::string>& addresses,
                             const Options& options, OnSilence on_silence)
    : rounds_(
          std::make_unique<Rounds>(addresses, options, std::move(on_silence))),
      thread_([this] { rounds_->Run(); }) {}

ListenerWatch::~ListenerWatch() {
  rounds_->Stop();
  thread_.join();
}

}  // namespace tensord
