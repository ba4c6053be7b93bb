#include "server/observe/access_log.h"

#include <utility>

#include "absl/time/time.h"
#include "server/observe/code_name.h"

namespace tensord {
namespace {

// Peers choose the method, up to the limit on metadata; ours are far shorter.
constexpr std::size_t kMaxMethodBytes = 256;

// What is the server's own fault is more than a call that was refused.
LogLevel LevelOf(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNKNOWN:
    case grpc::StatusCode::INTERNAL:
    case grpc::StatusCode::DATA_LOSS:
      return LogLevel::kError;
    default:
      return LogLevel::kInfo;
  }
}

}  // namespace

AccessLog::AccessLog(LogFormat format, Sink sink, Clock clock)
    : format_(format), sink_(std::move(sink)), clock_(std::move(clock)) {}

void AccessLog::CallStarted(const StartedCall&) {}

void AccessLog::CallFinished(const FinishedCall& call) {
  if (!IsLogged(LevelOf(call.code))) return;
  const std::int64_t left_out = MayWrite(call.code);
  if (left_out < 0) return;
  if (left_out > 0) {
    sink_(LogLine(format_, "calls_left_out").Add("count", left_out).text());
  }
  LogLine line(format_, "call");
  const auto add_unless_empty = [&](std::string_view key,
                                    std::string_view value) {
    if (!value.empty()) line.Add(key, value);
  };
  line.Add("method", call.method.substr(0, kMaxMethodBytes))
      .Add("code", CodeName(call.code));
  add_unless_empty("reason", call.reason);
  line.Add("peer", call.peer);
  add_unless_empty("tenant", call.tenant);
  add_unless_empty("id", call.id);
  line.Add("received_bytes", call.received_bytes)
      .Add("sent_bytes", call.sent_bytes)
      .Add("duration_ms", absl::ToDoubleMilliseconds(call.duration));
  if (call.trace != nullptr) {
    line.Add("trace_id", call.trace->trace_id)
        .Add("span_id", call.trace->span_id)
        .Add("parent_id", call.trace->parent_id);
  }
  sink_(line.text());
}

std::int64_t AccessLog::MayWrite(grpc::StatusCode code) {
  if (code == grpc::StatusCode::OK) return 0;
  const absl::Time now = clock_();
  MutexLock lock(mutex_);
  if (now - second_ >= absl::Seconds(1)) {
    second_ = now;
    written_ = 0;
  }
  if (written_ == kMaxRefusalsPerSecond) {
    ++left_out_;
    return -1;
  }
  ++written_;
  return std::exchange(left_out_, 0);
}

}  // namespace tensord
