#include "client/cpp/src/call_state.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "client/cpp/src/fork.h"
#include "core/error.h"

namespace tensord {

Cancellation::Cancellation() : group_(std::make_shared<client::CallGroup>()) {}

void Cancellation::Cancel() const { group_->Cancel(); }

bool Cancellation::is_cancelled() const { return group_->is_cancelled(); }

CallState::CallState(client::EventQueue& queue, bool owns_thread,
                     const ClientOptions& defaults, const CallOptions& options)
    : cancellation_(options.cancellation),
      group_(cancellation_.has_value() ? cancellation_->group_.get() : nullptr),
      execution_{
          .queue = &queue,
          .owns_thread = owns_thread,
          .group = &group_,
          .timeout = options.timeout.value_or(defaults.timeout),
          .max_attempts = options.max_attempts.value_or(defaults.max_attempts),
          .traceparent = options.traceparent} {}

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
