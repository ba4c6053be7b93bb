// Sending less to a server that has more to do than it can.
#ifndef TENSORD_CLIENT_CPP_SRC_CALL_WINDOW_H_
#define TENSORD_CLIENT_CPP_SRC_CALL_WINDOW_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/mutex.h"

namespace tensord::client {

// Whether an overloaded server may be spared a call. Essential are those that
// it takes to connect, to give back what the server holds, and to end what has
// begun: parts of an array, which would wait for each other, and the rest of
// one.
enum class Urgency { kOrdinary, kEssential };

// Bounds how many calls of a client are under way while the server is
// overloaded, and refuses what comes beyond in its stead: for the server,
// refusing takes as long as answering (tests/bench/README.md).
//
// The bound changes as TCP's congestion window does (RFC 5681, section 3.1).
// There is none until the server refuses a call for its load
// (RESOURCE_EXHAUSTED: OVERLOADED, TOO_MANY_REQUESTS); then it is half of what
// is under way, one call at least. It grows by one for every window that is
// answered, and halves again if a call that was sent since is refused, or not
// answered in time. A second without such a refusal ends it. Thread-safe.
class CallWindow {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // A call under way, until this is destroyed. The window has to outlive it.
  class Place {
   public:
    Place(Place&& other) noexcept
        : window_(std::exchange(other.window_, nullptr)),
          reductions_(other.reductions_) {}
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (window_ != nullptr) window_->under_way_.fetch_sub(1);
    }

    // The call ended with this status of the server's.
    void Answered(const absl::Status& status,
                  Time now = std::chrono::steady_clock::now()) {
      if (window_ != nullptr) window_->Answered(status, reductions_, now);
    }

   private:
    friend class CallWindow;
    Place(CallWindow* window, std::uint32_t reductions)
        : window_(window), reductions_(reductions) {}

    // Null for essential calls.
    CallWindow* window_;
    // As many had been made when the call began.
    std::uint32_t reductions_;
  };

  CallWindow() = default;
  CallWindow(const CallWindow&) = delete;
  CallWindow& operator=(const CallWindow&) = delete;

  // A place for a call that begins, or the server's refusal in its words, which
  // says when to come again. Essential calls always have one.
  absl::StatusOr<Place> Enter(Urgency urgency,
                              Time now = std::chrono::steady_clock::now());

 private:
  static constexpr double kUnbounded = std::numeric_limits<double>::infinity();

  void Answered(const absl::Status& status, std::uint32_t reductions, Time now);
  void EndIfOver(Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<std::int64_t> under_way_{0};
  // Written under the mutex, and read without.
  std::atomic<double> size_{kUnbounded};
  std::atomic<std::uint32_t> reductions_{0};
  Mutex mutex_;
  // Of the server, the last.
  Time refusal_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_CALL_WINDOW_H_
