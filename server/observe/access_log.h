// One line of the log for every call.
#ifndef TENSORD_SERVER_OBSERVE_ACCESS_LOG_H_
#define TENSORD_SERVER_OBSERVE_ACCESS_LOG_H_

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/mutex.h"
#include "server/observe/call_observer.h"
#include "server/observe/log_line.h"

namespace tensord {

// Writes, when a call finishes, an event "call" with method, code (as in Go:
// "InvalidArgument"), reason, peer, tenant, id, received_bytes, sent_bytes,
// duration_ms, trace_id, span_id and parent_id; what there is not is left out.
// Those of INTERNAL, UNKNOWN and DATA_LOSS are of level kError, others kInfo.
// Of calls that are not OK only so many a second are written: whoever may not
// call can not fill a disk. An event "calls_left_out" tells of the others.
// Thread-safe.
class AccessLog final : public CallObserver {
 public:
  // Takes a line with its line break; called from several threads at once.
  using Sink = std::function<void(std::string_view line)>;

  using Clock = std::function<absl::Time()>;

  static constexpr int kMaxRefusalsPerSecond = 200;

  explicit AccessLog(LogFormat format, Sink sink = WriteLog,
                     Clock clock = absl::Now);

  void CallStarted(const StartedCall& call) override;
  void CallFinished(const FinishedCall& call) override;

 private:
  // How many calls were left out since a line was written; -1 if this is one
  // more.
  std::int64_t MayWrite(grpc::StatusCode code);

  const LogFormat format_;
  const Sink sink_;
  const Clock clock_;
  Mutex mutex_;
  absl::Time second_ ABSL_GUARDED_BY(mutex_);
  int written_ ABSL_GUARDED_BY(mutex_) = 0;
  std::int64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_ACCESS_LOG_H_
