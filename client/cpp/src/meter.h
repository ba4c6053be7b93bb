// Counts what travels, for who asks how far a call is.
#ifndef TENSORD_CLIENT_CPP_SRC_METER_H_
#define TENSORD_CLIENT_CPP_SRC_METER_H_

#include <atomic>
#include <cstdint>

namespace tensord::client {

// What Progress tells.
struct ByteCounts {
  std::atomic<std::int64_t> done = 0;
  std::atomic<std::int64_t> total = 0;
};

// One way of one array, whose bytes travel in order, in one attempt or several.
// Used by one thread at a time.
class Meter {
 public:
  // `counts`, which may be null, outlives this. The bytes from `begin` to `end`
  // are to travel.
  Meter(ByteCounts* counts, std::int64_t begin, std::int64_t end)
      : counts_(counts), position_(begin) {
    if (counts_ != nullptr) {
      counts_->total.fetch_add(end - begin, std::memory_order_relaxed);
    }
  }

  // All before `position` has travelled; less than before, after a failure.
  void Reach(std::int64_t position) {
    if (counts_ == nullptr) return;
    counts_->done.fetch_add(position - position_, std::memory_order_relaxed);
    position_ = position;
  }

 private:
  ByteCounts* const counts_;
  std::int64_t position_;
};

// Counts what travelled in one message.
inline void Count(ByteCounts* counts, std::int64_t size_bytes) {
  Meter(counts, 0, size_bytes).Reach(size_bytes);
}

}  // namespace tensord::client

#endif  // TENSORD_CLIENT_CPP_SRC_METER_H_
