// Work that is done again and again beside everything else.
#ifndef TENSORD_SERVER_REPEATER_H_
#define TENSORD_SERVER_REPEATER_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "absl/time/time.h"

namespace tensord {

// Calls `f` from a thread of its own: at once, and then whenever `interval` has
// passed, until destroyed. Destruction waits for a call that is under way, not
// for the interval.
class Repeater {
 public:
  Repeater(absl::Duration interval, std::function<void()> f)
      : interval_(absl::ToChronoMilliseconds(interval)),
        f_(std::move(f)),
        thread_([this](const std::stop_token& stop) { Run(stop); }) {}

 private:
  void Run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      f_();
      stopped_.wait_for(lock, stop, interval_, [] { return false; });
    }
  }

  const std::chrono::milliseconds interval_;
  const std::function<void()> f_;
  // Only for the condition to have one.
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  // Last: it is joined before the rest goes.
  std::jthread thread_;
};

}  // namespace tensord

#endif  // TENSORD_SERVER_REPEATER_H_
