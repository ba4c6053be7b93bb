#include "client/cpp/src/retry.h"

#include <algorithm>

#include "absl/random/random.h"
#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord::client {
namespace {

constexpr double kJitter = 0.2;

bool MayPass(const absl::Status& status,
             const std::optional<absl::Duration>& pushback) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      return true;
    case absl::StatusCode::kAborted:
      return GetErrorReason(status) == reason::kRequestInProgress;
    case absl::StatusCode::kResourceExhausted:
      return pushback.has_value();
    default:
      return false;
  }
}

}  // namespace

void RetryThrottle::Succeeded() {
  MutexLock lock(mutex_);
  tokens_ = std::min(tokens_ + kTokensPerSuccess, max_tokens_);
}

void RetryThrottle::Progressed() {
  MutexLock lock(mutex_);
  tokens_ = std::min(tokens_ + 1, max_tokens_);
}

bool RetryThrottle::Failed() {
  MutexLock lock(mutex_);
  tokens_ = std::max(tokens_ - 1, 0.0);
  return tokens_ > max_tokens_ / 2;
}

std::optional<absl::Duration> Retry::Next(const absl::Status& status) {
  if (status.ok()) {
    throttle_.Succeeded();
    return std::nullopt;
  }
  const std::optional<absl::Duration> pushback = RetryPushback(status);
  if (!MayPass(status, pushback)) return std::nullopt;
  // A server that works on the same request is well.
  const bool allowed =
      status.code() == absl::StatusCode::kAborted || throttle_.Failed();
  if (++attempts_ >= max_attempts_ || !allowed) return std::nullopt;
  if (!pushback.has_value()) return NextBackoff();
  if (*pushback > max_wait_) return std::nullopt;
  return pushback;
}

void Retry::Progressed() {
  throttle_.Progressed();
  attempts_ = 0;
  backoff_ = kInitialBackoff;
}

absl::Duration Retry::NextBackoff() {
  const absl::Duration backoff =
      backoff_ * absl::Uniform(absl::BitGen(), 1 - kJitter, 1 + kJitter);
  backoff_ = std::min(2 * backoff_, kMaxBackoff);
  return backoff;
}

}  // namespace tensord::client
