#include "server/queue_probe.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/server_posix.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/tsan.h"

namespace tensord {
namespace {

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

struct QueueProbe::Call {
  SteadyClock::time_point sent;
  grpc::ClientContext context;
  // A message without fields. A buffer that nothing was put into is none.
  grpc::ByteBuffer request{nullptr, 0};
  grpc::ByteBuffer response;
};

QueueProbe::QueueProbe(IsBusy is_busy, Report report)
    : is_busy_(std::move(is_busy)), report_(std::move(report)) {}

QueueProbe::~QueueProbe() { Stop(); }

absl::Status QueueProbe::Start(grpc::Server& server) {
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                 ends.data()) != 0) {
    return absl::ErrnoToStatus(errno, "a pair of sockets");
  }
  // Both own what they get.
  grpc::AddInsecureChannelFromFd(&server, ends[0]);
  stub_.emplace(grpc::CreateInsecureChannelFromFd("queue-probe", ends[1]));
  repeater_.emplace(kInterval, [this] { CallIfDue(); });
  return absl::OkStatus();
}

void QueueProbe::Stop() {
  repeater_.reset();
  {
    MutexLock lock(mutex_);
    report_ = nullptr;
    while (under_way_ > 0) ended_.Wait(mutex_);
  }
  // The last owner of the channel: were that a call, gRPC 1.51 would take down
  // its threads from one of them, and abort.
  stub_.reset();
}

void QueueProbe::CallIfDue() {
  if (!is_busy_() && ++idle_rounds_ < kIdleRounds) return;
  idle_rounds_ = 0;
  Begin();
}

void QueueProbe::Begin() {
  auto call = std::make_unique<Call>();
  call->sent = SteadyClock::now();
  {
    MutexLock lock(mutex_);
    Tell(call->sent);
    if (under_way_ >= kMaxUnderWay) return;
    ++under_way_;
    delay_.Sent(call->sent);
  }
  HandOver(call.get());
  Call& begun = *call.release();
  stub_->UnaryCall(&begun.context, kHealthCheck, {}, &begun.request,
                   &begun.response, [this, &begun](const grpc::Status&) {
                     TakeOver(&begun);
                     End(std::unique_ptr<Call>(&begun));
                   });
}

void QueueProbe::End(std::unique_ptr<Call> call) {
  const SteadyClock::time_point sent = call->sent;
  // With its part of the channel, before Stop goes on.
  call.reset();
  MutexLock lock(mutex_);
  // A server that stops takes no more.
  delay_.Lost(sent);
  if (--under_way_ == 0) ended_.NotifyAll();
}

void QueueProbe::Tell(SteadyClock::time_point now) {
  if (report_ != nullptr) report_(delay_.At(now));
}

bool QueueProbe::Takes(std::string_view method,
                       const grpc::ServerContextBase& call) {
  if (method != kHealthCheck || !call.peer().starts_with(kPeerPrefix)) {
    return false;
  }
  const SteadyClock::time_point now = SteadyClock::now();
  MutexLock lock(mutex_);
  delay_.Arrived(now);
  Tell(now);
  return true;
}

}  // namespace tensord
