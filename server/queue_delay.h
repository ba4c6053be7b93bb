// How long calls wait for their turn, as told by calls that are made to find
// out.
#ifndef TENSORD_SERVER_QUEUE_DELAY_H_
#define TENSORD_SERVER_QUEUE_DELAY_H_

#include <algorithm>
#include <chrono>
#include <deque>

#include "absl/time/time.h"

namespace tensord {

// Probes wait where calls do: until a socket is read, and until a thread takes
// what was read.
//
// The least of what the probes of the last tenth of a second say is what
// counts, as in controlled delay (CoDel, RFC 8289, section 4.4): a burst or a
// busy neighbour delays some of them, more work than can be done delays all.
// Not thread-safe.
class QueueDelay {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::milliseconds kWindow{100};

  // A probe sets out.
  void Sent(Time now) { waiting_.push_back(now); }

  // It is the turn of a probe: of the first that waits, as they come in the
  // order in which they were sent.
  void Arrived(Time now) {
    if (waiting_.empty()) return;
    waits_.push_back({now, now - waiting_.front()});
    waiting_.pop_front();
  }

  // The probe that was sent at that time does not wait any more.
  void Lost(Time sent) {
    const auto it = std::find(waiting_.begin(), waiting_.end(), sent);
    if (it != waiting_.end()) waiting_.erase(it);
  }

  absl::Duration At(Time now) {
    while (waits_.size() > 1 && waits_.front().end < now - kWindow) {
      waits_.pop_front();
    }
    Time::duration least{};
    if (!waits_.empty()) {
      least = std::min_element(waits_.begin(), waits_.end(),
                               [](const Wait& a, const Wait& b) {
                                 return a.length < b.length;
                               })
                  ->length;
    }
    // No turn of late: those that wait do so for longer than what is known.
    if (!waiting_.empty() &&
        (waits_.empty() || waits_.back().end < now - kWindow)) {
      least = std::max(least, now - waiting_.front());
    }
    return absl::FromChrono(least);
  }

 private:
  struct Wait {
    Time end;
    Time::duration length;
  };

  // Both from the oldest to the latest.
  std::deque<Time> waiting_;
  std::deque<Wait> waits_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_QUEUE_DELAY_H_
