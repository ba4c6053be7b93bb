// How long calls wait for their turn, as told by calls that are made to find
// out.
#ifndef TENSORD_SERVER_QUEUE_DELAY_H_
#define TENSORD_SERVER_QUEUE_DELAY_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>

#include "absl/time/time.h"

namespace tensord {

// Probes wait where calls do: until a socket is read, and until a thread takes
// what was read. Both happen on the way there and on the way back, so that
// calls wait for half as long as a probe takes.
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
  void Sent(Time now) { under_way_.push_back(now); }

  // The probe that was sent at that time is back.
  void Returned(Time sent, Time now) {
    returned_.push_back({now, now - sent});
    Lost(sent);
  }

  // The probe that was sent at that time says nothing.
  void Lost(Time sent) {
    const auto it = std::find(under_way_.begin(), under_way_.end(), sent);
    if (it != under_way_.end()) under_way_.erase(it);
  }

  std::size_t under_way() const { return under_way_.size(); }

  absl::Duration At(Time now) {
    while (returned_.size() > 1 && returned_.front().time < now - kWindow) {
      returned_.pop_front();
    }
    Time::duration least{};
    if (!returned_.empty()) {
      least = std::min_element(returned_.begin(), returned_.end(),
                               [](const Round& a, const Round& b) {
                                 return a.took < b.took;
                               })
                  ->took;
    }
    // None of late: those that are under way take longer than what is known.
    if (!under_way_.empty() &&
        (returned_.empty() || returned_.back().time < now - kWindow)) {
      least = std::max(least, now - under_way_.front());
    }
    return absl::FromChrono(least) / 2;
  }

 private:
  struct Round {
    Time time;
    Time::duration took;
  };

  // Both from the oldest to the latest.
  std::deque<Time> under_way_;
  std::deque<Round> returned_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_QUEUE_DELAY_H_
