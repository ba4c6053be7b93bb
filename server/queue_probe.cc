#include "server/queue_probe.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server_posix.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "core/mutex.h"
#include "core/tsan.h"
#include "server/queue_delay.h"

namespace tensord {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";
// How gRPC names the peers of sockets that it was given.
constexpr std::string_view kPeerPrefix = "fd:";

constexpr absl::Duration kInterval = absl::Milliseconds(20);
// A thread that has taken the end of a probe is awake until the third one
// after it: 300 ms.
constexpr int kIdleRounds = 15;
// Enough for one in every interval where they take a third of a second.
constexpr int kMaxUnderWay = 16;

}  // namespace

// What calls under way refer to, which may outlast the probe. Thread-safe.
class QueueProbe::Calls : public std::enable_shared_from_this<Calls> {
 public:
  explicit Calls(Report report) : report_(std::move(report)) {}

  void Connect(const std::shared_ptr<grpc::Channel>& channel) {
    stub_ = std::make_unique<grpc::GenericStub>(channel);
  }

  // REQUIRES: Connect.
  void Make() {
    const SteadyClock::time_point now = SteadyClock::now();
    {
      MutexLock lock(mutex_);
      Tell(now);
      if (under_way_ >= kMaxUnderWay) return;
      ++under_way_;
      delay_.Sent(now);
    }
    const auto call = std::make_shared<Call>();
    HandOver(call.get());
    stub_->UnaryCall(
        &call->context, kHealthCheck, {}, &call->request, &call->response,
        [call, now, self = shared_from_this()](const grpc::Status&) {
          TakeOver(call.get());
          self->End(now);
        });
  }

  void Arrived() {
    const SteadyClock::time_point now = SteadyClock::now();
    MutexLock lock(mutex_);
    delay_.Arrived(now);
    Tell(now);
  }

  // Reports nothing from here on.
  void Stop() {
    MutexLock lock(mutex_);
    report_ = nullptr;
  }

 private:
  struct Call {
    grpc::ClientContext context;
    // A message without fields. A buffer that nothing was put into is none.
    grpc::ByteBuffer request{nullptr, 0};
    grpc::ByteBuffer response;
  };

  void End(SteadyClock::time_point sent) {
    MutexLock lock(mutex_);
    --under_way_;
    // A server that stops takes no more.
    delay_.Lost(sent);
  }

  void Tell(SteadyClock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (report_ != nullptr) report_(delay_.At(now));
  }

  std::unique_ptr<grpc::GenericStub> stub_;
  Mutex mutex_;
  Report report_ ABSL_GUARDED_BY(mutex_);
  QueueDelay delay_ ABSL_GUARDED_BY(mutex_);
  // Some of which have arrived.
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;
};

QueueProbe::QueueProbe(IsBusy is_busy, Report report)
    : is_busy_(std::move(is_busy)),
      calls_(std::make_shared<Calls>(std::move(report))) {}

QueueProbe::~QueueProbe() { Stop(); }

absl::Status QueueProbe::Start(grpc::Server& server) {
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                 ends.data()) != 0) {
    return absl::ErrnoToStatus(errno, "a pair of sockets");
  }
  // Both own what they get.
  grpc::AddInsecureChannelFromFd(&server, ends[0]);
  calls_->Connect(grpc::CreateInsecureChannelFromFd("queue-probe", ends[1]));
  repeater_.emplace(kInterval, [this] { MakeCall(); });
  return absl::OkStatus();
}

void QueueProbe::Stop() {
  repeater_.reset();
  calls_->Stop();
}

void QueueProbe::MakeCall() {
  if (!is_busy_() && ++idle_rounds_ < kIdleRounds) return;
  idle_rounds_ = 0;
  calls_->Make();
}

bool QueueProbe::Takes(std::string_view method,
                       const grpc::ServerContextBase& call) {
  if (method != kHealthCheck || !call.peer().starts_with(kPeerPrefix)) {
    return false;
  }
  calls_->Arrived();
  return true;
}

}  // namespace tensord
