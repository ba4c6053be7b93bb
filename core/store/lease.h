// Lifetimes that go on with every use.
#ifndef TENSORD_CORE_STORE_LEASE_H_
#define TENSORD_CORE_STORE_LEASE_H_

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace tensord {

// Ends when it was not renewed for its duration. Thread-safe, without a lock.
class Lease {
 public:
  // REQUIRES: 0 < duration; `now` and what is reached from it is a time of
  // this century or the next two.
  Lease(absl::Duration duration, absl::Time now)
      : duration_(duration), end_nanos_(absl::ToUnixNanos(now + duration)) {}

  absl::Duration duration() const { return duration_; }

  // When it ends, unless it is renewed before.
  absl::Time end() const {
    return absl::FromUnixNanos(end_nanos_.load(std::memory_order_relaxed));
  }

  // It lasts for its duration from `now`, unless it has ended by then, and
  // never shorter than before.
  void Renew(absl::Time now) {
    const std::int64_t now_nanos = absl::ToUnixNanos(now);
    const std::int64_t renewed = absl::ToUnixNanos(now + duration_);
    std::int64_t end = end_nanos_.load(std::memory_order_relaxed);
    while (now_nanos < end && end < renewed &&
           !end_nanos_.compare_exchange_weak(end, renewed,
                                             std::memory_order_relaxed)) {
    }
  }

 private:
  const absl::Duration duration_;
  std::atomic<std::int64_t> end_nanos_;
};

}  // namespace tensord

#endif  // TENSORD_CORE_STORE_LEASE_H_
