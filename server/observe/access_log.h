// One line of the log for every call.
#ifndef TENSORD_SERVER_OBSERVE_ACCESS_LOG_H_
#define TENSORD_SERVER_OBSERVE_ACCESS_LOG_H_

#include <functional>
#include <string_view>

#include "server/observe/call_observer.h"
#include "server/observe/log_line.h"

namespace tensord {

// Writes, when a call finishes, an event "call" with method, code (as in Go:
// "InvalidArgument"), peer and duration_ms. Thread-safe.
class AccessLog final : public CallObserver {
 public:
  // Takes a line with its line break; called from several threads at once.
  using Sink = std::function<void(std::string_view line)>;

  explicit AccessLog(LogFormat format, Sink sink = WriteLog);

  void CallStarted(const StartedCall& call) override;
  void CallFinished(const FinishedCall& call) override;

 private:
  const LogFormat format_;
  const Sink sink_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_OBSERVE_ACCESS_LOG_H_
