#include "client/cpp/src/call_window.h"

#include <algorithm>
#include <string>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/cpp/src/status.h"
#include "core/error.h"

namespace tensord::client {
namespace {

constexpr double kReduction = 0.5;
constexpr double kMinSize = 1;
constexpr std::chrono::seconds kQuiet{1};

// As servers ask for.
constexpr absl::Duration kRetryDelay = absl::Milliseconds(200);

absl::Status Refusal(double size) {
  absl::Status status = MakeError(
      absl::StatusCode::kResourceExhausted, reason::kOverloaded,
      absl::StrCat("not sent: the server has more to do than it can, and ",
                   static_cast<std::int64_t>(size),
                   " calls of this client are under way"));
  SetRetryPushback(status,
                   kRetryDelay * absl::Uniform(absl::BitGen(), 0.5, 1.5));
  return status;
}

bool AsksForLess(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kResourceExhausted) return false;
  const std::string why = GetErrorReason(status);
  return why == reason::kOverloaded || why == reason::kTooManyRequests;
}

}  // namespace

absl::StatusOr<CallWindow::Place> CallWindow::Enter(Urgency urgency, Time now) {
  if (urgency == Urgency::kEssential) return Place(nullptr, 0);
  const std::int64_t others = under_way_.fetch_add(1);
  Place place(this, reductions_);
  double size = size_;
  if (static_cast<double>(others) + 1 <= size) return place;
  {
    MutexLock lock(mutex_);
    EndIfOver(now);
    size = size_;
  }
  if (static_cast<double>(others) + 1 <= size) return place;
  return Refusal(size);
}

void CallWindow::Answered(const absl::Status& status, std::uint32_t reductions,
                          Time now) {
  const bool is_refusal = AsksForLess(status);
  if (!is_refusal && size_ == kUnbounded) return;
  MutexLock lock(mutex_);
  if (is_refusal) {
    refusal_ = now;
  } else {
    EndIfOver(now);
    if (status.ok()) size_ = size_ + 1 / size_;
    // Of calls that come too late nobody hears whether they were refused.
    if (size_ == kUnbounded ||
        status.code() != absl::StatusCode::kDeadlineExceeded) {
      return;
    }
  }
  // What was sent before says nothing of the smaller window.
  if (reductions != reductions_) return;
  ++reductions_;
  const auto under_way = static_cast<double>(under_way_);
  size_ = std::max(std::min<double>(size_, under_way) * kReduction, kMinSize);
}

void CallWindow::EndIfOver(Time now) {
  if (now - refusal_ >= kQuiet) size_ = kUnbounded;
}

}  // namespace tensord::client
