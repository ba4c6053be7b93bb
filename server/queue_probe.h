// Calls of a server to itself, which keep it awake and tell how busy it is.
#ifndef TENSORD_SERVER_QUEUE_PROBE_H_
#define TENSORD_SERVER_QUEUE_PROBE_H_

#include <grpcpp/server.h>
#include <grpcpp/server_context.h>

#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/repeater.h"

namespace tensord {

// Calls the server's health check over a pair of sockets, until it is
// destroyed: every 20 ms while there are calls, else three times a second. Both
// ends are served by gRPC's threads for calls, as those of clients are.
//
// A thread of gRPC 1.51's queue for calls, which a process has one of, that had
// nothing to do for a second sleeps for a tenth of one, whatever comes
// meanwhile: where all do, calls to a server with little to do wait as long.
// The probes come often enough for one to be awake.
class QueueProbe {
 public:
  // How long calls wait for their turn; told by one thread at a time.
  using Report = std::function<void(absl::Duration)>;
  // Whether there were calls since it was last asked.
  using IsBusy = std::function<bool()>;

  // The server, which has to be running, and what the functions refer to
  // outlive the probe. Errors of socketpair(2), as where the process can have
  // no more files.
  static absl::StatusOr<std::unique_ptr<QueueProbe>> Start(grpc::Server& server,
                                                           IsBusy is_busy,
                                                           Report report);
  ~QueueProbe();
  QueueProbe(const QueueProbe&) = delete;
  QueueProbe& operator=(const QueueProbe&) = delete;

 private:
  class Calls;

  QueueProbe(std::shared_ptr<Calls> calls, IsBusy is_busy);

  const std::shared_ptr<Calls> calls_;
  const IsBusy is_busy_;
  // Since the last call.
  int idle_rounds_ = 0;
  Repeater repeater_;
};

// Whether `call`, to `method`, is one of these. By its peer, which no client
// has.
bool IsQueueProbe(std::string_view method, const grpc::ServerContextBase& call);

}  // namespace tensord

#endif  // TENSORD_SERVER_QUEUE_PROBE_H_
