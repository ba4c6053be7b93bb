#include "server/observe/access_log.h"

#include <utility>

#include "absl/time/time.h"
#include "server/observe/code_name.h"

namespace tensord {
namespace {

// Peers choose the method, up to the limit on metadata; ours are far shorter.
constexpr std::size_t kMaxMethodBytes = 256;

}  // namespace

AccessLog::AccessLog(LogFormat format, Sink sink)
    : format_(format), sink_(std::move(sink)) {}

void AccessLog::CallStarted(const StartedCall&) {}

void AccessLog::CallFinished(const FinishedCall& call) {
  sink_(LogLine(format_, "call")
            .Add("method", call.method.substr(0, kMaxMethodBytes))
            .Add("code", CodeName(call.code))
            .Add("peer", call.peer)
            .Add("duration_ms", absl::ToDoubleMilliseconds(call.duration))
            .text());
}

}  // namespace tensord
