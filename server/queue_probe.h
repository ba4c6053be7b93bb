// Calls of a server to itself, which keep it awake and tell how busy it is.
#ifndef TENSORD_SERVER_QUEUE_PROBE_H_
#define TENSORD_SERVER_QUEUE_PROBE_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/server.h>
#include <grpcpp/server_context.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/mutex.h"
#include "server/queue_delay.h"
#include "server/repeater.h"

namespace tensord {

// Calls the server's health check over a pair of sockets, once it is started:
// every 20 ms while there are calls, else three times a second. Its end of the
// sockets is served by gRPC's threads for calls, as those of clients are, so
// that the calls wait as long for their turn.
//
// A thread of gRPC 1.51's queue for calls, which a process has one of, that had
// nothing to do for a second sleeps for a tenth of one, whatever comes
// meanwhile: where all do, calls to a server with little to do wait as long.
// These calls come often enough for one to be awake.
class QueueProbe {
 public:
  // How long calls wait for their turn; told by one thread at a time.
  using Report = std::function<void(absl::Duration)>;
  // Whether there were calls since it was last asked.
  using IsBusy = std::function<bool()>;

  // What the functions refer to outlives the probe.
  QueueProbe(IsBusy is_busy, Report report);
  ~QueueProbe();
  QueueProbe(const QueueProbe&) = delete;
  QueueProbe& operator=(const QueueProbe&) = delete;

  // Calls the server, which has to be running, until Stop. Errors of
  // socketpair(2), as where the process can have no more files.
  absl::Status Start(grpc::Server& server);

  // Calls and reports no more from here on, and waits for the calls under way:
  // not from one of gRPC's threads for calls, and only once the server has shut
  // down or while it answers.
  void Stop();

  // Whether `call`, to `method`, which the server begins with, is one of these:
  // by its peer, which no client has. Takes note that its turn has come. The
  // server has to ask of every call, once. Thread-safe.
  bool Takes(std::string_view method, const grpc::ServerContextBase& call);

 private:
  using SteadyClock = std::chrono::steady_clock;
  struct Call;

  void CallIfDue();
  void Begin();
  void End(std::unique_ptr<Call> call);
  void Tell(SteadyClock::time_point now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const IsBusy is_busy_;
  std::optional<grpc::GenericStub> stub_;
  // Since the last call.
  int idle_rounds_ = 0;
  std::optional<Repeater> repeater_;

  Mutex mutex_;
  Report report_ ABSL_GUARDED_BY(mutex_);
  QueueDelay delay_ ABSL_GUARDED_BY(mutex_);
  // Some of which have arrived.
  int under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  Condition ended_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_QUEUE_PROBE_H_
