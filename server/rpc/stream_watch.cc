#include "server/rpc/stream_watch.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error.h"
#include "core/tsan.h"
#include "grpc/grpc.h"

namespace tensord {
namespace {

grpc_call* CallOf(grpc::CallbackServerContext& context) {
  // Another thread of gRPC may have made it.
  TakeOver(&context);
  return context.c_call();
}

}  // namespace

StreamWatch::Stream::Stream(StreamWatch* watch,
                            grpc::CallbackServerContext& call,
                            std::optional<Reads> reads)
    : watch_(watch), call_(CallOf(call)), reads_(std::move(reads)) {
  if (watch_ == nullptr) return;
  seen_at_ = watch_->clock_();
  place_ = node_.insert(node_.end(), this);
  MutexLock lock(watch_->mutex_);
  watch_->streams_.splice(watch_->streams_.end(), node_);
}

StreamWatch::Stream::~Stream() {
  if (watch_ == nullptr) return;
  MutexLock lock(watch_->mutex_);
  node_.splice(node_.end(), watch_->streams_, place_);
}

void StreamWatch::Stream::Received(const Envelope& message) {
  const auto bytes = static_cast<std::int64_t>(message.chunk.data_bytes);
  if (bytes > 0 && received_bytes_.fetch_add(bytes) + bytes < kMinBytes) {
    return;
  }
  received_bytes_ = 0;
  ++steps_;
}

void StreamWatch::Stream::WriteStarts() {
  ++steps_;
  is_writing_ = true;
}

void StreamWatch::Stream::WriteEnds() {
  is_writing_ = false;
  ++steps_;
}

absl::Status StreamWatch::Stream::WriteFailure() const {
  return is_cut_off_ ? watch_->Refusal() : absl::CancelledError();
}

void StreamWatch::Look() {
  if (patience_ == absl::ZeroDuration()) return;
  const absl::Time now = clock_();
  // What follows may end streams, which come back here.
  std::vector<std::function<void(const absl::Status&)>> ends;
  std::vector<grpc_call*> calls;
  {
    MutexLock lock(mutex_);
    for (Stream* const stream : streams_) {
      const std::int64_t steps = stream->steps_;
      if (steps != stream->seen_steps_) {
        stream->seen_steps_ = steps;
        stream->seen_at_ = now;
      }
      if (now - stream->seen_at_ < patience_) continue;
      if (stream->is_writing_) {
        if (stream->is_cut_off_.exchange(true)) continue;
        calls.push_back(stream->call_);
        grpc_call_ref(calls.back());
      } else if (stream->reads_.has_value() && stream->reads_->take_over()) {
        ends.push_back(stream->reads_->end);
      }
    }
  }
  const absl::Status refusal = Refusal();
  for (const auto& end : ends) end(refusal);
  for (grpc_call* const call : calls) {
    grpc_call_cancel_with_status(call, GRPC_STATUS_DEADLINE_EXCEEDED,
                                 std::string(refusal.message()).c_str(),
                                 nullptr);
    grpc_call_unref(call);
  }
}

absl::Status StreamWatch::Refusal() const {
  absl::Status status =
      MakeError(absl::StatusCode::kDeadlineExceeded, reason::kStreamIdle,
                absl::StrCat("the stream made no progress for ",
                             absl::FormatDuration(patience_)));
  AddErrorMetadata(status, "idleSeconds",
                   absl::StrCat(absl::ToDoubleSeconds(patience_)));
  return status;
}

}  // namespace tensord
