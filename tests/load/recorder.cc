#include "tests/load/recorder.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord::load {
namespace {

std::string NameOf(const absl::Status& status) {
  std::string name = absl::StatusCodeToString(status.code());
  const std::string reason = GetErrorReason(status);
  if (!reason.empty()) absl::StrAppend(&name, "/", reason);
  return name;
}

}  // namespace

void Recorder::Sent(std::size_t number, std::int64_t lag_ns) {
  entries_[number].call.lag_ns = lag_ns;
  in_flight_.fetch_add(1, std::memory_order_relaxed);
}

void Recorder::NotSent(std::size_t number) {
  entries_[number].outcome.store(kNotSent, std::memory_order_release);
}

void Recorder::Ended(std::size_t number, std::int64_t latency_ns,
                     const absl::Status& status, std::int64_t bytes) {
  Entry& entry = entries_[number];
  entry.call.latency_ns = latency_ns;
  entry.call.bytes = bytes;
  entry.call.has_retry_info =
      !status.ok() && client::RetryPushback(status).has_value();
  entry.outcome.store(status.ok() ? kOk : IdOf(status),
                      std::memory_order_release);
  in_flight_.fetch_sub(1, std::memory_order_release);
}

Call Recorder::At(std::size_t number) const {
  const Entry& entry = entries_[number];
  const OutcomeId outcome = entry.outcome.load(std::memory_order_acquire);
  if (outcome == kPending) return {.lag_ns = entry.call.lag_ns};
  Call call = entry.call;
  call.outcome = outcome;
  return call;
}

std::vector<std::string> Recorder::Outcomes() const {
  MutexLock lock(mutex_);
  return outcomes_;
}

OutcomeId Recorder::IdOf(const absl::Status& status) {
  const std::string name = NameOf(status);
  MutexLock lock(mutex_);
  const auto found = std::find(outcomes_.begin(), outcomes_.end(), name);
  const auto id = static_cast<std::size_t>(found - outcomes_.begin());
  if (found == outcomes_.end()) outcomes_.push_back(name);
  // There are not that many codes and reasons.
  return static_cast<OutcomeId>(
      std::min<std::size_t>(id, std::numeric_limits<OutcomeId>::max()));
}

}  // namespace tensord::load
