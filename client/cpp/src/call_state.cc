#include "client/cpp/src/call_state.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "client/cpp/src/fork.h"
#include "client/cpp/src/meter.h"
#include "core/error.h"

namespace tensord {

Cancellation::Cancellation() : group_(std::make_shared<client::CallGroup>()) {}

void Cancellation::Cancel() const { group_->Cancel(); }

bool Cancellation::is_cancelled() const { return group_->is_cancelled(); }

Progress::Progress() : counts_(std::make_shared<client::ByteCounts>()) {}

std::int64_t Progress::bytes_done() const {
  return counts_->done.load(std::memory_order_relaxed);
}

std::int64_t Progress::bytes_total() const {
  return counts_->total.load(std::memory_order_relaxed);
}

CallState::CallState(client::EventQueue& queue, bool owns_thread,
                     const ClientOptions& defaults, const CallOptions& options)
    : cancellation_(options.cancellation),
      progress_(options.progress),
      group_(cancellation_.has_value() ? cancellation_->group_.get() : nullptr),
      execution_{
          .queue = &queue,
          .owns_thread = owns_thread,
          .group = &group_,
          .timeout = options.timeout.value_or(defaults.timeout),
          .max_attempts = options.max_attempts.value_or(defaults.max_attempts),
          .traceparent = options.traceparent,
          .progress =
              progress_.has_value() ? progress_->counts_.get() : nullptr} {}

absl::Status Check(const CallOptions& options) {
  if (absl::Status status = client::CheckNotForked(); !status.ok()) {
    return status;
  }
  const std::string& trace = options.traceparent;
  if (std::all_of(trace.begin(), trace.end(), [](char c) {
        return absl::ascii_isprint(static_cast<unsigned char>(c));
      })) {
    return absl::OkStatus();
  }
  return InvalidArgument(reason::kTraceparentInvalid,
                         "traceparent has characters that no header can carry",
                         "traceparent");
}

}  // namespace tensord
