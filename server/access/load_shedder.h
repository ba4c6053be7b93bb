// Refuses a part of the calls while the server has more to do than it can.
#ifndef TENSORD_SERVER_ACCESS_LOAD_SHEDDER_H_
#define TENSORD_SERVER_ACCESS_LOAD_SHEDDER_H_

#include <algorithm>
#include <atomic>

#include "absl/random/random.h"
#include "absl/time/time.h"

namespace tensord {

// A part of what comes is refused while calls wait for their turn for longer
// than they should: none at `max_delay`, the most at twice that, in proportion
// in between (random early detection, RFC 2309, of calls instead of packets).
//
// Refusing a small call takes gRPC as long as answering it
// (tests/bench/README.md), so that refusals by themselves relieve nothing and
// are few. They tell clients to send less, which ours do. Thread-safe.
class LoadShedder {
 public:
  static constexpr double kMaxShare = 0.05;

  // Nothing is refused for a `max_delay` of 0.
  explicit LoadShedder(absl::Duration max_delay) : max_delay_(max_delay) {}

  void SetQueueDelay(absl::Duration delay) {
    queue_delay_.store(delay, std::memory_order_relaxed);
  }
  // How long calls wait for their turn, as it was last told; 0 at first.
  absl::Duration queue_delay() const {
    return queue_delay_.load(std::memory_order_relaxed);
  }
  absl::Duration max_delay() const { return max_delay_; }

  // The part of the calls that is refused now.
  double share() const {
    const absl::Duration delay = queue_delay();
    if (delay <= max_delay_ || max_delay_ == absl::ZeroDuration()) return 0;
    return kMaxShare * std::min(absl::FDivDuration(delay, max_delay_) - 1, 1.0);
  }

  // Whether a call that has just come is refused: by chance.
  bool Sheds() {
    // Written once in a while, lest threads take the line from each other.
    if (!was_asked_.load(std::memory_order_relaxed)) {
      was_asked_.store(true, std::memory_order_relaxed);
    }
    const double part = share();
    if (part == 0) return false;
    thread_local absl::InsecureBitGen random;
    return absl::Bernoulli(random, part);
  }

  // Whether calls have come since this was last asked.
  bool TakeBusy() {
    return was_asked_.exchange(false, std::memory_order_relaxed);
  }

 private:
  const absl::Duration max_delay_;
  std::atomic<absl::Duration> queue_delay_{absl::ZeroDuration()};
  std::atomic<bool> was_asked_{false};
};

}  // namespace tensord

#endif  // TENSORD_SERVER_ACCESS_LOAD_SHEDDER_H_
